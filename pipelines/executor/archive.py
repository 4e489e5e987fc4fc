"""Archives of jobs: model.tar.gz, the same bytes for the same files, and the unpacking of a source archive."""

import gzip
import tarfile
from pathlib import Path

from pipelines.executor.errors import DefinitionError
from pipelines.executor.files import output_files, replacing

# Weights hardly compress: the fastest level keeps the step's end short.
_LEVEL = 1


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


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the source of a program that whoever starts the run has chosen.

    Raises DefinitionError if it is no tar archive, or leaves the folder.
    """
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError, ValueError, RecursionError) as error:
        raise DefinitionError(f"the source archive {archive.name} cannot be unpacked: {error}") from error
