"""Labelled data and pretrained weights on their way into the store: as immutable, content-named folders."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.local import LocalStore
from pipelines.settings import Settings
from steps.core.classes import Classes
from steps.core.errors import UserError
from steps.core.files import sha256_file
from steps.core.labels import FOLDER_PER_CLASS, find_labels, read_labels
from steps.core.paths import PathRefusedError, locate
from steps.core.snapshot import Batch, snapshot_digest, write_snapshot
from steps.train import RANDOM_FILE

_WEIGHTS_SUFFIX = ".weights.h5"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A dataset snapshot in the store: its URI, its batches, and the number of objects in them."""

    uri: str
    batches: tuple[Batch, ...]
    objects: int


def snapshot_of(source: Path, store: LocalStore, settings: Settings, classes: Classes) -> Snapshot:
    """Bring the labelled data at `source` (a folder, or a labels file in one) into the store as one batch.

    Only the labels file and regular files inside its folder are taken: a row that points elsewhere stays a row, and
    ValidateData puts it into quarantine. Data that the store already holds are read, but not copied again. Raises
    UserError if there are none.
    """
    folder, labels = _locate(source, classes)
    if labels == FOLDER_PER_CLASS and _shows(store.root.resolve(), folder.resolve()):
        raise UserError(f"the home lies in the data ({store.root} in {folder}): give --home another place")
    objects = [
        (path, checksum)
        for path in sorted(set(_files(folder, labels, classes)))
        if (checksum := _sha256(folder / path))
    ]
    if {path for path, _ in objects} <= {labels}:
        raise UserError(f"{folder / labels} names no readable file inside {folder}")
    batch = Batch.of(labels, objects)
    uri = settings.uri("labelled", batch.name)
    if not store.exists(uri):
        _copy(folder, objects, uri, store)
    files = [path for path, _ in objects]
    return Snapshot(_write_snapshot(batch, files, store, settings), (batch,), len(files))


def _shows(inner: Path, outer: Path) -> bool:
    """Tell whether `inner` would be found among the visible files of `outer`."""
    return inner.is_relative_to(outer) and not any(part.startswith(".") for part in inner.relative_to(outer).parts)


def _sha256(path: Path) -> str:
    """Return a file's digest, or "" if it cannot be read: its row stays, and ValidateData says what is missing."""
    try:
        return sha256_file(path)
    except OSError:
        return ""


def _locate(source: Path, classes: Classes) -> tuple[Path, str]:
    if source.is_file():
        return source.parent, source.name
    if not source.is_dir():
        raise UserError(f"{source}: there is no such folder or labels file")
    return source, find_labels(source, classes)


def _files(folder: Path, labels: str, classes: Classes) -> Iterator[str]:
    if labels != FOLDER_PER_CLASS:
        yield labels
    for row in read_labels(folder, labels, classes):
        if row.source_ref:
            with contextlib.suppress(PathRefusedError):
                yield str(locate(folder, row.source_ref))


def _copy(folder: Path, objects: list[tuple[str, str]], uri: str, store: LocalStore) -> None:
    with store.scratch() as staged:
        for path, checksum in objects:
            target = staged / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / path, target)
            if sha256_file(target) != checksum:
                raise UserError(f"{folder / path} changed while it was read: start again when nothing writes to it")
        store.commit(staged, uri, give_up=True)


def _write_snapshot(batch: Batch, files: list[str], store: LocalStore, settings: Settings) -> str:
    uri = settings.uri("datasets", snapshot_digest([batch]))
    if not store.exists(uri):
        with store.scratch() as staged:
            objects = [f"{batch.name}/{path}" for path in files]
            write_snapshot(staged, [batch], settings.uri("labelled") + "/", objects)
            store.commit(staged, uri, give_up=True)
    return uri


def weights_of(source: Path | None, backbone: str, store: LocalStore, settings: Settings) -> str:
    """Bring pretrained weights into the store and return their URI; None stands for random weights.

    `source` is a Keras `*.weights.h5` or a folder in which exactly one is named after the backbone.
    """
    if source is None:
        uri = settings.uri("weights", "random")
        if not store.exists(uri):
            marker = json.dumps({"initialisation": "random"}) + "\n"
            store.put_bytes(marker.encode(), f"{uri}/{RANDOM_FILE}")
        return uri
    path = _weights_file(source, backbone)
    uri = settings.uri("weights", sha256_file(path)[:32])
    if not store.exists(uri):
        # One name, whatever the file was called: the digest already says which it is.
        store.put_file(path, f"{uri}/pretrained{_WEIGHTS_SUFFIX}")
    return uri


def _weights_file(source: Path, backbone: str) -> Path:
    if source.is_file():
        if not source.name.endswith(_WEIGHTS_SUFFIX):
            raise UserError(f"{source} is no *{_WEIGHTS_SUFFIX}: save the backbone with Keras's `save_weights`")
        return source
    wanted, minimalistic = backbone.replace("-", "_"), backbone.endswith("minimalistic")
    found = [p for p in sorted(source.glob(f"*{_WEIGHTS_SUFFIX}")) if wanted in p.name]
    found = [p for p in found if minimalistic or "minimalistic" not in p.name]
    if len(found) != 1:
        names = ", ".join(p.name for p in found) or "none"
        raise UserError(f"{source} holds {names} for the backbone {backbone!r}: name one *{_WEIGHTS_SUFFIX} file")
    return found[0]
