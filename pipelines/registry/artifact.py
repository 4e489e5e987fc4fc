"""The artefact of a version: unpacked safely beside itself, and never handed out with other bytes than registered."""

import shutil
from collections.abc import Callable
from pathlib import Path

from pipelines.registry.protocol import ModelRegistry, ModelVersion, RegistryError
from steps.core.common.archives import unpack
from steps.core.common.errors import UserError
from steps.core.common.files import replacing, sha256_file
from steps.core.common.scratch import scratch
from steps.network.archive import FILE_NAME as ARCHIVE

BUNDLE = "bundle"


def stage(model_data: Path, folder: Path) -> None:
    """Put the archive and, under `bundle/`, its files into `folder`; refuses what is no archive, or one without end."""
    shutil.copyfile(model_data, folder / ARCHIVE)
    try:
        unpack(folder / ARCHIVE, folder / BUNDLE)
    except UserError as error:
        raise RegistryError(
            f"{model_data} cannot be unpacked safely ({error}): a version is registered from a model.tar.gz of plain "
            "files with relative names; write it again"
        ) from error


def fetch_verified(fetch: Callable[[Path], object], dest: Path, sha256: str, what: str) -> Path:
    """Let `fetch` write the archive to a file of the folder `dest`; it gets its name only if its hash is `sha256`.

    `fetch` raises LookupError or FileNotFoundError if there is no such archive; `what` says which one is meant.
    """
    with replacing(dest / ARCHIVE) as beside:
        try:
            fetch(beside)
        except (LookupError, FileNotFoundError):
            raise RegistryError(f"{what} is missing: restore it or register the model again") from None
        found = sha256_file(beside)
        if found != sha256:
            raise RegistryError(
                f"{what} has sha256 {found}, but {sha256} was registered: it was changed since; do not use it, "
                "register the model again"
            )
    return dest / ARCHIVE


def check_artifact(registry: ModelRegistry, version: ModelVersion) -> None:
    """Raise RegistryError unless the archive is there with the registered bytes: else nobody can approve it."""
    with scratch("approve") as folder:
        registry.download(version, folder)
