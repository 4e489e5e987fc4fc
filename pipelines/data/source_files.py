"""The files of a folder that belong to a batch, and their checksums."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipelines.data.folder_listing import FolderListing
from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.core.dataset.classes import Classes
from steps.core.dataset.label_places import FOLDER_PER_CLASS, find_labels
from steps.core.dataset.labels import LabelledRow, RefusedRow, read_labels
from steps.core.dataset.paths import PathRefusedError, locate
from steps.core.dataset.snapshot import LISTING_COLUMNS, REFERENCE, REVIEW, content_digest

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

Progress = Callable[[str, int, int], None]
"""Is told what is being done (a verb in the past tense), to how many files so far, and how many there are."""


def silent(_verb: str, _done: int, _total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Intake:
    """What a folder offers: `labels` is the labels file in it, "." if there is none; nothing is copied yet.

    `listing` has the columns path (posix, relative to the folder), sha256 and bytes, the labels file excluded.
    `left_out` are rows whose file is not in it, with the reason: missing, unreadable, outside of the folder. `erased`
    counts the files that were left out because somebody has erased them.
    """

    folder: Path
    labels: str
    objects: tuple[tuple[str, str], ...]
    listing: pd.DataFrame
    bytes: int
    left_out: tuple[RefusedRow, ...]
    erased: int = 0

    @property
    def sha256(self) -> str:
        """The digest of the batch's content: the labels file's name, every path and every checksum."""
        return content_digest(self.labels, self.objects)


def take_in(
    source: Path,
    *,
    kind: str,
    classes: Classes,
    labels: str | None = None,
    attribute: str | None = None,
    store: Path | None,
    erased: Collection[str] = frozenset(),
    progress: Progress = silent,
) -> Intake:
    """Find and hash the files that `source`, a folder or a labels file in one, brings; no picture is opened.

    Only the labels file and regular files inside its folder are taken, never through a link that leads out; also those
    of rows whose label is refused, so that the content does not depend on what the classes are called. `store` is the
    folder of a store on this machine, which must not lie among the data; files whose sha256 is among the `erased` are
    not taken. Raises UserError if `source` has no labels.
    """
    folder, name = _locate_source(source, kind, classes, labels)
    if name == FOLDER_PER_CLASS and store is not None and _shows(store.resolve(), folder.resolve()):
        raise UserError(f"the home lies in the data ({store} in {folder}): give --home another place")
    # The row that names a file first stands for it; 0 is the labels file itself.
    files: dict[str, tuple[int, str]] = {} if name == FOLDER_PER_CLASS else {name: (0, name)}
    left_out: list[RefusedRow] = []
    there = FolderListing(folder)
    for number, row in enumerate(_rows(folder, name, kind, classes, attribute), start=1):
        progress("Looked up", number, 0)
        if row.source_ref:
            try:
                files.setdefault(there.locate(row.source_ref), (row.row, row.source_ref))
            except PathRefusedError as error:
                left_out.append(RefusedRow(row.row, row.source_ref, error.reason, str(error)))
    found: list[tuple[str, str, int]] = []
    for done, path in enumerate(sorted(files), start=1):
        try:
            found.append((path, sha256_file(folder / path), (folder / path).stat().st_size))
        except OSError as error:
            number, ref = files[path]
            if not number:
                raise
            detail = f"the file cannot be read: {error.strerror or error}"
            left_out.append(RefusedRow(number, ref, "missing-file", detail))
        progress("Hashed", done, len(files))
    kept = [file for file in found if file[0] == name or file[1] not in erased]
    return Intake(
        folder=folder,
        labels=name,
        objects=tuple((path, sha256) for path, sha256, _ in kept),
        listing=pd.DataFrame([file for file in kept if file[0] != name], columns=list(LISTING_COLUMNS)),
        bytes=sum(size for _, _, size in kept),
        left_out=tuple(sorted(left_out, key=lambda row: row.row)),
        erased=len(found) - len(kept),
    )


def _locate_source(source: Path, kind: str, classes: Classes, labels: str | None) -> tuple[Path, str]:
    if not source.exists():
        raise UserError(f"{source}: there is no such folder or labels file")
    if kind == REFERENCE:
        if labels or not source.is_dir():
            raise UserError(f"{source}: a reference sample is a folder of pictures, without a labels file")
        return source, FOLDER_PER_CLASS
    if source.is_dir():
        folder, name = source, labels or find_labels(source, classes)
    elif labels:
        raise UserError(f"{source} is a file, and so the labels file itself: leave out --labels {labels}")
    else:
        folder, name = source.parent, source.name
    if name == FOLDER_PER_CLASS:
        return folder, name
    try:
        inside = str(locate(folder, name))
    except PathRefusedError as error:
        raise UserError(f"the labels file {folder / name} cannot be used: {error}") from None
    return folder, inside


def _shows(inner: Path, outer: Path) -> bool:
    """Tell whether `inner` would be found among the visible files of `outer`."""
    return inner.is_relative_to(outer) and not any(part.startswith(".") for part in inner.relative_to(outer).parts)


def _rows(
    folder: Path, labels: str, kind: str, classes: Classes, attribute: str | None
) -> Iterator[LabelledRow | RefusedRow]:
    """Yield the rows that may name a file: a decision may name its screenshot by the sha256 alone."""
    if kind == REFERENCE:
        yield from _pictures(folder)
    else:
        rows = read_labels(folder, labels, classes, attribute, review=kind == REVIEW)
        yield from (row for row in rows if isinstance(row, RefusedRow) or row.sha256 is None)


def _pictures(folder: Path) -> Iterator[LabelledRow]:
    """Yield every visible picture below `folder`, by its name; the label means nothing."""
    files = (p.relative_to(folder) for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and not p.is_dir())
    visible = sorted(p for p in files if not any(part.startswith(".") for part in p.parts))
    for row, path in enumerate(visible, start=1):
        yield LabelledRow(row, path.as_posix(), 0)
