"""The bundle of a version, the very files that phones get: verified, and then unpacked whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.registry.artifact import BUNDLE, stage
from pipelines.registry.protocol import ModelRegistry, ModelVersion, RegistryError
from steps.core.common.files import sha256_file
from steps.core.common.scratch import scratch
from steps.device.contract import TFLITE_FILE


@contextmanager
def opened_bundle(registry: ModelRegistry, version: ModelVersion) -> Iterator[Path]:
    """Yield a temporary folder with a version's bundle, whose bytes are those that were registered and judged."""
    with scratch("bundle") as staged:
        stage(registry.download(version, staged / "registered"), staged)
        check_model(version, staged / BUNDLE)
        yield staged / BUNDLE


def check_model(version: ModelVersion, bundle: Path) -> None:
    """Raise RegistryError unless the bundle's TFLite file is the one that the gate has judged."""
    judged, what = version.metadata.get("tflite_sha256"), f"{version.group} version {version.version}"
    if not (bundle / TFLITE_FILE).is_file():
        raise RegistryError(f"{what} has no {TFLITE_FILE}: its archive is no bundle, reject it")
    if judged and judged != (found := sha256_file(bundle / TFLITE_FILE)):
        raise RegistryError(f"the {TFLITE_FILE} of {what} has sha256 {found}, but {judged} was judged: reject it")


def export_bundle(registry: ModelRegistry, version: ModelVersion, folder: Path) -> int:
    """Write a version's bundle as the new folder `folder`; return how many files it has. Raises RegistryError."""
    import secrets
    import shutil

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
