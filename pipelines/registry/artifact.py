"""The artefact of a version: unpacked safely beside itself, and never handed out with other bytes than registered."""

import hashlib
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from pipelines.registry.protocol import RegistryError

ARCHIVE = "model.tar.gz"
BUNDLE = "bundle"
_CHUNK = 1 << 20


def stage(model_data: Path, folder: Path) -> None:
    """Put the archive and, under `bundle/`, its files into `folder`; refuses what is no archive or reaches outside."""
    shutil.copyfile(model_data, folder / ARCHIVE)
    try:
        with tarfile.open(folder / ARCHIVE) as archive:
            archive.extractall(folder / BUNDLE, filter="data")
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise RegistryError(
            f"{model_data} cannot be unpacked safely ({error}): a version is registered from a model.tar.gz of plain "
            "files with relative names; write it again"
        ) from error


def fetch_verified(source: Path, dest: Path, sha256: str, what: str) -> Path:
    """Copy `source` into the folder `dest`, hashing what is copied; the file appears only if the hash is `sha256`."""
    dest.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    handle, name = tempfile.mkstemp(prefix=f".{source.name}.", dir=dest)
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as target, source.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                target.write(chunk)
        if digest.hexdigest() != sha256:
            raise RegistryError(
                f"{source} of {what} has sha256 {digest.hexdigest()}, but {sha256} was registered: it was changed "
                "since; do not use it, register the model again"
            )
        beside.chmod(0o644)
        beside.replace(dest / source.name)
    except FileNotFoundError:
        raise RegistryError(f"{source} of {what} is missing: restore it or register the model again") from None
    finally:
        beside.unlink(missing_ok=True)
    return dest / source.name
