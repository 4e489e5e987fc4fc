"""The unpacking of a foreign tar.gz: never outside of its folder, and never without limit."""

import errno
import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from steps.core.common.errors import UserError

MAX_BYTES, MAX_FILES, MAX_DEPTH = 1 << 30, 10_000, 32
_PADDING = 1 << 20


def unpack(archive: Path, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
    """Unpack an archive of plain files and folders.

    Raises UserError if it is none or damaged, leaves the folder, holds links or devices, more than `max_bytes` or
    MAX_FILES, or folders more than MAX_DEPTH deep.
    """
    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in _admitted(tar, max_bytes):
                tar.extract(member, folder, filter="data")
            _read_padding(stream)
    except (OSError, tarfile.TarError, EOFError, ValueError, RecursionError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise UserError(f"{archive} is not a readable model archive ({error})") from None


def _read_padding(stream: gzip.GzipFile) -> None:
    """Read to the very end, where gzip compares its checksum."""
    if len(stream.read(_PADDING + 1)) > _PADDING:
        raise ValueError("it goes on behind its end")


def _admitted(tar: tarfile.TarFile, max_bytes: int) -> Iterator[tarfile.TarInfo]:
    """Yield the members; raises ValueError, before it is unpacked, for one that is too much or no plain file."""
    left = max_bytes
    for number, member in enumerate(tar, 1):
        left -= member.size
        if left < 0 or number > MAX_FILES:
            raise ValueError(f"it holds more than {max_bytes:,} bytes or {MAX_FILES:,} files")
        if member.name.count("/") > MAX_DEPTH:
            raise ValueError(f"{member.name[:60]!r}… is more than {MAX_DEPTH} folders deep")
        if not (member.isfile() or member.isdir()):
            raise ValueError(f"{member.name!r} is a link or no file")
        yield member
