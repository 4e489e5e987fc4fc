"""The default registry of models: an append-only folder of JSON files, a version a file."""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipelines.executor.files import read_json, write_json

Register = Callable[[Mapping[str, Any], Path], Mapping[str, Any]]
"""Given the evaluated CreateModelPackage request and the model's file, return ModelPackageArn and -Version."""


class JsonRegistry:
    """`<home>/registry/<group>/<version>.json`. The same ClientToken gives the same version again."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "registry"

    def __call__(self, arguments: Mapping[str, Any], model_data: Path) -> Mapping[str, Any]:
        group = arguments.get("ModelPackageGroupName") or "models"
        folder = self._folder / str(group).replace("/", "-")
        versions = sorted(int(path.stem) for path in folder.glob("*.json") if path.stem.isdigit())
        token = arguments.get("ClientToken")
        for version in reversed(versions):
            document = read_json(folder / f"{version}.json") or {}
            if token and document.get("Request", {}).get("ClientToken") == token:
                return _answer(document)
        return _answer(_append(folder, group, arguments, model_data, (versions or [0])[-1] + 1))


def _append(
    folder: Path, group: str, arguments: Mapping[str, Any], model_data: Path, version: int
) -> Mapping[str, Any]:
    document = {
        "ModelPackageArn": f"arn:aws:sagemaker:local:000000000000:model-package/{group}/{version}",
        "ModelPackageVersion": version,
        "CreationTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "Model": {"Path": str(model_data), "Sha256": _sha256(model_data)},
        "Request": arguments,
    }
    beside = folder / f".{os.getpid()}-{version}.json.new"
    write_json(beside, document)
    try:
        # A link, unlike a rename, never takes a version that another run has registered meanwhile.
        os.link(beside, folder / f"{version}.json")
    except FileExistsError:
        return _append(folder, group, arguments, model_data, version + 1)
    finally:
        beside.unlink(missing_ok=True)
    return document


def _answer(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: document[key] for key in ("ModelPackageArn", "ModelPackageVersion")}


def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
