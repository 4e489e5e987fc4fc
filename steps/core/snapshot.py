"""A dataset snapshot: the immutable batches of labelled data that a run learns from, named by its content.

`<labelled>/<batch>/…` holds a batch as it came: its labels file and its images. A snapshot is a folder
`datasets/<digest>/` with `manifest.jsonl`, a line a batch, and `objects.manifest`, SageMaker's ManifestFile of every
object, so that a job downloads the snapshot's objects and no others.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from steps.core.errors import UserError
from steps.core.files import write_text

MANIFEST = "manifest.jsonl"
OBJECTS = "objects.manifest"


@dataclass(frozen=True, slots=True, order=True)
class Batch:
    """One immutable batch: `name` is its folder, `labels` the labels file in it, `sha256` the digest of its content."""

    name: str
    labels: str
    sha256: str

    @classmethod
    def of(cls, labels: str, objects: Iterable[tuple[str, str]]) -> "Batch":
        """Name a batch by its objects, (relative path, sha256) each."""
        digest = hashlib.sha256(labels.encode())
        for path, checksum in sorted(objects):
            digest.update(f"\0{path}\0{checksum}".encode())
        sha256 = digest.hexdigest()
        return cls(f"b-{sha256[:16]}", labels, sha256)


def snapshot_digest(batches: Sequence[Batch]) -> str:
    """Return the digest that names a snapshot; the order of the batches does not matter."""
    return hashlib.sha256(_lines(batches).encode()).hexdigest()[:32]


def _lines(batches: Sequence[Batch]) -> str:
    return "".join(json.dumps(asdict(batch), sort_keys=True) + "\n" for batch in sorted(batches))


def write_snapshot(folder: Path, batches: Sequence[Batch], prefix: str, objects: Iterable[str]) -> None:
    """Write both manifests; `objects` are keys relative to `prefix`, the URI of the labelled data."""
    write_text(folder / MANIFEST, _lines(batches))
    write_text(folder / OBJECTS, json.dumps([{"prefix": prefix}, *sorted(objects)], indent=0) + "\n")


def _batch(fields: Any) -> Batch:
    batch = Batch(**fields)
    if not all(isinstance(value, str) for value in (batch.name, batch.labels, batch.sha256)):
        raise TypeError("a field is not a text")
    return batch


def read_snapshot(folder: Path) -> list[Batch]:
    """Read the batches of a snapshot; raises UserError that names the line."""
    path = folder / MANIFEST
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the dataset snapshot cannot be read ({error})") from None
    batches = []
    for row, line in enumerate(lines, start=1):
        try:
            batches.append(_batch(json.loads(line)))
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}, line {row}: not a batch ({error}); write the snapshot again") from None
    if not batches:
        raise UserError(f"{path} names no batch: add labelled data first")
    return batches
