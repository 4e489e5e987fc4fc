"""A refused row comes back: read again as far as it can be, with what a person corrects in it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.data.catalogue import Catalogue
from pipelines.data.lookup import sightings
from pipelines.data.reviews import Entry
from pipelines.data.withdrawals import erasure_of
from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.core.dataset.classes import Classes, LabelError
from steps.core.dataset.label_places import FOLDER_PER_CLASS
from steps.core.dataset.labels import (
    CLASS_NAME,
    DECISION_KEYS,
    LabelledRow,
    RefusedRow,
    read_labels,
    rows_of_folders,
)
from steps.core.dataset.paths import Files, PathRefusedError
from steps.core.dataset.row_schema import check_rows
from steps.core.dataset.rows import reading
from steps.core.dataset.snapshot import REFERENCE, REVIEW, Batch
from steps.core.dataset.tables import SLICE_PREFIX, Quarantined
from steps.core.tiles.decode import ImageRefusedError, read_image

REPLACES = "replaces"
_NO_LABEL = -1
_PLACE = re.compile(r"(.+):([1-9][0-9]{0,8})")
# What a row of a review says for itself, whatever the refused row called so.
_OWN = (*DECISION_KEYS, REPLACES, CLASS_NAME, "path", "image", "source-ref", "source_ref", "label", "sha256")
_NEEDS_FILE = ("path", "missing-file", "image")
_ANEW = "write it anew in a labels file, with {place} in a column `replaces`, and `tilegate data add --kind review` it"
_IN_THE_WAY = {
    "manifest-line": f"the row cannot be read: {_ANEW}",
    "formula": f"a spreadsheet would run a cell of the row: {_ANEW}",
    "duplicate": "another row brings the same bytes with the same label: nothing is lost",
    "superseded": "a reviewer has decided otherwise: `tilegate data decide` the label again",
    "label-conflict": "its label is contradicted by another row: `tilegate data decide` on the screenshot",
    "near-conflict": "its label is contradicted by nearly the same picture: `tilegate data decide` on the screenshot",
    "labeller": "its labeller contradicts the others: `tilegate data decide` on the screenshot",
    "split-leak": "nearly the same picture is in another split, where it has to stay alone",
    "unknown-id": "no batch holds the screenshot: `tilegate data add` the batch that does",
    "replaced": "a later batch replaces it already",
}


@dataclass(frozen=True, slots=True)
class Mended:
    """`entry` replaces a refused row; `left_out` are columns of that row whose values could not be right."""

    entry: Entry
    left_out: tuple[str, ...]


def place_of(text: str) -> tuple[str, int]:
    """Read `<batch>:<row>`; raises UserError."""
    if not (match := _PLACE.fullmatch(text)):
        raise UserError(f"{text!r} is no refused row: BATCH:ROW is wanted, as `tilegate data quarantine` lists them")
    return match[1], int(match[2])


@dataclass(frozen=True, slots=True)
class Mender:
    """Mends rows of the catalogue in the name of a person; `classes` and `attribute` are how its labels are read."""

    catalogue: Catalogue
    classes: Classes
    attribute: str | None
    by: str
    reason: str

    def mend(self, refused: Quarantined, *, label: int | None, file: Path | None) -> Mended:
        """Return what replaces a refused row: its columns, with a `label` and a `file` where they are given.

        Raises UserError if that does not mend it, and says what would.
        """
        place = f"{refused.batch}:{refused.row}"
        if refused.reason in _IN_THE_WAY:
            raise UserError(f"{place} is not mended that way: {_IN_THE_WAY[refused.reason].format(place=place)}")
        if refused.reason in _NEEDS_FILE and file is None:
            raise UserError(f"{place} was refused, {refused.detail}: give --file FILE, the file that it should name")
        batch = self.catalogue.card(refused.batch).batch
        if batch not in self.catalogue.batches():
            raise UserError(f"{place} is of a batch that was withdrawn: `tilegate data withdraw --undo` goes first")
        row = self._read(batch, refused.row, place)
        settled = row.label if label is None else label
        if settled is None or settled == _NO_LABEL:
            raise UserError(f"{place} has no label that is one of the classes: give --label")
        if file is None:
            file = self._stored(batch, row, place)
        else:
            _check_picture(file)
        screenshot = sha256_file(file)
        if erased := erasure_of(self.catalogue.data, screenshot):
            raise UserError(f"{place} names the screenshot {screenshot[:12]}, which was erased {erased}")
        if label is None:
            self._check_agreement(place, screenshot, settled)
        values, left_out = _columns(row)
        decision = {"label": settled, "by": self.by, "reason": self.reason, REPLACES: place}
        # Its own name in the batch, for two rows may name two files alike.
        return Mended(Entry({**values, **decision}, f"{screenshot}{_suffix(file)}", file), left_out)

    def _read(self, batch: Batch, number: int, place: str) -> LabelledRow:
        row = next((row for row in self._rows(batch) if row.row == number), None)
        if row is None or isinstance(row, RefusedRow):
            why = f"({row.detail}) " if row else ""
            raise UserError(f"{place} cannot be read {why}as a row: {_ANEW.format(place=place)}")
        if row.sha256 is not None:
            raise UserError(f"{place} decides on the screenshot {row.sha256[:12]}: `tilegate data decide` on it again")
        return row

    def _rows(self, batch: Batch) -> Iterator[LabelledRow | RefusedRow]:
        classes, attribute = reading(batch, self.classes, self.attribute)
        lenient = _AnyLabel(classes.negative, classes.positive, classes.given)
        if batch.kind == REFERENCE:
            return iter(())
        if batch.labels == FOLDER_PER_CLASS:
            return rows_of_folders(self.catalogue.listing(batch.name)["path"], lenient)
        folder, review = self.catalogue.folder(batch), batch.kind == REVIEW
        return read_labels(folder, batch.labels, lenient, attribute, review=review)

    def _stored(self, batch: Batch, row: LabelledRow, place: str) -> Path:
        """Return the batch's own file of a row; raises UserError if it is not the one that was added."""
        files = Files.of(self.catalogue.listing(batch.name))
        try:
            path = files.locate(row.source_ref)
        except PathRefusedError as error:
            raise UserError(f"{place} names no file of its batch ({error}): give --file FILE") from None
        file = self.catalogue.folder(batch) / path
        if not file.is_file() or sha256_file(file) != files.sha256[path]:
            raise UserError(f"{file} is not the file that was added, the store is damaged: give --file FILE")
        return file

    def _check_agreement(self, place: str, screenshot: str, label: int) -> None:
        """Raise if a row labels these bytes otherwise: what comes back goes before it, which a person has to mean."""
        for seen in sightings(self.catalogue, screenshot, self.classes, self.attribute):
            contrary = seen.rows[seen.rows["label"].notna() & (seen.rows["label"] != label)]
            if len(contrary):
                raise UserError(
                    f"{place} labels the screenshot {screenshot[:12]} {label}, and row {contrary['row'].iloc[0]} of "
                    f"{seen.batch.name} otherwise: give --label to decide which is right"
                )


class _AnyLabel(Classes):
    """Classes that take any label: what is none of them is _NO_LABEL, so that the rest of the row can be read."""

    def index(self, value: Any) -> int:
        try:
            return Classes.index(self, value)
        except LabelError:
            return _NO_LABEL

    def named_index(self, name: str) -> int:
        try:
            return Classes.named_index(self, name)
        except LabelError:
            return _NO_LABEL


def _check_picture(file: Path) -> None:
    try:
        read_image(file)
    except ImageRefusedError as error:
        raise UserError(f"{file} mends nothing, it would be refused as well: {error}") from None


def _columns(row: LabelledRow) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the other columns of a row, and the names of those that may not hold what they hold."""
    kept = {name: value for name, value in row.slices.items() if name not in _OWN and not name.endswith("-metadata")}
    text = {"source_ref": "mended", "by": None, "reason": None}
    text |= {f"{SLICE_PREFIX}{name}": value for name, value in kept.items()}
    frame = pd.DataFrame({name: pd.Series([value], dtype="str") for name, value in text.items()})
    _, failures = check_rows(frame.assign(row=1, label=0))
    bad = {failure.column.removeprefix(SLICE_PREFIX) for failure in failures}
    return {name: value for name, value in kept.items() if name not in bad}, tuple(sorted(bad))


def _suffix(file: Path) -> str:
    suffix = file.suffix.lower()
    return suffix if suffix.isascii() and suffix[1:].isalnum() else ""
