"""The artefact of a version, and the bundle in it: verified before anybody gets them, unpacked whole or not at all."""

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.registry.protocol import ModelRegistry, ModelVersion, RegistryError
from steps.core.common.archives import unpack
from steps.core.common.errors import UserError
from steps.core.common.files import replacing, sha256_file
from steps.core.common.scratch import scratch
from steps.device.contract import TFLITE_FILE
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


@contextmanager
def opened_bundle(registry: ModelRegistry, version: ModelVersion) -> Iterator[Path]:
    """Yield a temporary folder with a version's bundle, whose bytes are those that were registered and evaluated."""
    with scratch("bundle") as staged:
        stage(registry.download(version, staged / "registered"), staged)
        check_model(version, staged / BUNDLE)
        yield staged / BUNDLE


def check_model(version: ModelVersion, bundle: Path) -> None:
    """Raise RegistryError unless the bundle's TFLite file is the one that has passed the gate."""
    expected, what = version.metadata.get("tflite_sha256"), f"{version.group} version {version.version}"
    if not (bundle / TFLITE_FILE).is_file():
        raise RegistryError(f"{what} has no {TFLITE_FILE}: its archive is no bundle, reject it")
    if expected and expected != (found := sha256_file(bundle / TFLITE_FILE)):
        raise RegistryError(f"the {TFLITE_FILE} of {what} has sha256 {found}, but {expected} was judged: reject it")


def export_bundle(registry: ModelRegistry, version: ModelVersion, folder: Path) -> int:
    """Write a version's bundle as the new folder `folder`; return how many files it has. Raises RegistryError."""
    if folder.exists():
        raise RegistryError(f"{folder} is there already: name a new folder")
    beside = folder.parent / f".{folder.name}.unfinished-{secrets.token_hex(8)}"
    with opened_bundle(registry, version) as bundle:
        try:
            shutil.copytree(bundle, beside)
            beside.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return sum(path.is_file() for path in folder.rglob("*"))
