"""Labelled data and pretrained weights on their way into the store: as immutable, content-named folders."""

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
from steps.core.labels import FOLDER_PER_CLASS, LabelledRow, find_labels, read_labels
from steps.core.snapshot import Batch, snapshot_digest, write_snapshot


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
    files = sorted(set(_files(folder, labels, classes)))
    if not files:
        raise UserError(f"{folder / labels} names no file inside {folder}")
    objects = [(path, sha256_file(folder / path)) for path in files]
    batch = Batch.of(labels, objects)
    uri = settings.uri("labelled", batch.name)
    if not store.exists(uri):
        _copy(folder, objects, uri, store)
    return Snapshot(_write_snapshot(batch, files, store, settings), (batch,), len(files))


def _locate(source: Path, classes: Classes) -> tuple[Path, str]:
    if source.is_file():
        return source.parent, source.name
    if not source.is_dir():
        raise UserError(f"{source}: there is no such folder or labels file")
    return source, find_labels(source, classes)


def _files(folder: Path, labels: str, classes: Classes) -> Iterator[str]:
    root = folder.resolve()
    if labels != FOLDER_PER_CLASS:
        yield labels
    for row in read_labels(folder, labels, classes):
        ref = row.source_ref
        if not ref or "\0" in ref or (isinstance(row, LabelledRow) and ref.startswith("/")):
            continue
        try:
            target = (folder / ref).resolve()
            if target.is_file() and target.is_relative_to(root) and ".." not in Path(ref).parts:
                yield Path(ref).as_posix()
        except OSError:
            continue


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
            store.put_bytes(marker.encode(), f"{uri}/initialisation.json")
        return uri
    path = _weights_file(source, backbone)
    uri = settings.uri("weights", sha256_file(path)[:32])
    if not store.exists(uri):
        store.put_file(path, f"{uri}/{path.name}")
    return uri


def _weights_file(source: Path, backbone: str) -> Path:
    if source.is_file():
        return source
    wanted, minimalistic = backbone.replace("-", "_"), backbone.endswith("minimalistic")
    found = [p for p in sorted(source.glob("*.weights.h5")) if wanted in p.name]
    found = [p for p in found if minimalistic or "minimalistic" not in p.name]
    if len(found) != 1:
        names = ", ".join(p.name for p in found) or "none"
        raise UserError(f"{source} holds {names} for the backbone {backbone!r}: name one *.weights.h5 file")
    return found[0]
