"""Archives of jobs: model.tar.gz, the same bytes for the same files, and the unpacking of one that anybody has made."""

import errno
import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from pipelines.executor.errors import DefinitionError
from pipelines.executor.files import output_files, replacing

# Weights hardly compress: the fastest level keeps the step's end short.
_LEVEL = 1
MAX_BYTES, MAX_FILES, MAX_DEPTH = 1 << 30, 10_000, 32


def pack(folder: Path, archive: Path) -> None:
    """Write the files of a folder to a tar.gz: sorted, without times, owners or names of this machine."""
    with (
        replacing(archive) as beside,
        beside.open("wb") as raw,
        gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for key, path in output_files(folder):
            member = tarfile.TarInfo(key)
            member.size = path.stat().st_size
            member.mode = 0o644
            with path.open("rb") as stream:
                tar.addfile(member, stream)


def unpack(archive: Path, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
    """Unpack a tar archive, compressed or not, that may come from anywhere.

    Raises DefinitionError if it is none, leaves the folder, holds links or devices, more than `max_bytes` or MAX_FILES,
    or folders more than MAX_DEPTH deep.
    """
    try:
        with tarfile.open(archive) as tar:
            for member in _admitted(tar, max_bytes):
                tar.extract(member, folder, filter="data")
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise DefinitionError(f"the archive {archive} cannot be unpacked: {error}") from error
    except (tarfile.TarError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise DefinitionError(f"the archive {archive} cannot be unpacked: {error}") from error


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
