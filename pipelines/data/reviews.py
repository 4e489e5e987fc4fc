"""A person's decisions as a batch of review: on screenshots by their checksum, and on refused rows, which come back.

A refused row is read again as far as it can be, with what the person corrects in it.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.data.add import Added
from pipelines.data.catalogue import Catalogue
from pipelines.data.withdrawals import erasure_of
from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.core.dataset.classes import Classes, LabelError
from steps.core.dataset.label_places import FOLDER_PER_CLASS
from steps.core.dataset.label_resolution import WAIVABLE
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
from steps.validate.rules import RULES

LEAST_DIGITS = 6
REPLACES = "replaces"
_ROWS_FILE = "decisions.jsonl"
_NO_LABEL = -1
_PLACE = re.compile(r"(.+):([1-9][0-9]{0,8})")
# What a row of a review says for itself, whatever the refused row called so.
_OWN = (*DECISION_KEYS, REPLACES, CLASS_NAME, "path", "image", "source-ref", "source_ref", "label", "sha256")
_NEEDS_FILE = ("path", "missing-file", "image")


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a batch of review: `columns` by name; with a `file`, under the name `path` in the batch.

    `left_out` are columns of the refused row that it replaces whose values could not be right.
    """

    columns: Mapping[str, Any]
    path: str = ""
    file: Path | None = None
    left_out: tuple[str, ...] = ()


def add_review(
    catalogue: Catalogue, entries: Sequence[Entry], *, by: str, note: str, classes: Classes, source: str
) -> Added:
    """Add one batch of review; raises UserError, and adds nothing, if one of its rows would be refused.

    `source` is what the batch's card says of where it came from.
    """
    with catalogue.store.scratch() as scratch:
        folder = scratch / source
        folder.mkdir()
        lines = []
        for entry in entries:
            path = {}
            if entry.file is not None:
                path = {"path": entry.path}
                _link(entry.file, folder / entry.path)
            lines.append(json.dumps({**path, **entry.columns}, ensure_ascii=False) + "\n")
        (folder / _ROWS_FILE).write_text("".join(lines), encoding="utf-8")
        # An immutable batch is no place to find out that a row is refused.
        return catalogue.add(folder, classes=classes, kind=REVIEW, labels=_ROWS_FILE, by=by, note=note, whole=True)


def _link(file: Path, target: Path) -> None:
    try:
        os.link(file.resolve(), target)
    except OSError:
        shutil.copyfile(file, target)


def screenshots_of(
    catalogue: Catalogue, prefixes: Sequence[str], classes: Classes, attribute: str | None = None
) -> list[str]:
    """Return the sha256 of the labelled screenshots that begin with each of `prefixes`, in their order.

    Raises UserError for a beginning that is too short, unknown or of several, and for a screenshot that no usable row
    brings, as a decision about it would be about nothing.
    """
    batches = [batch for batch in catalogue.batches() if batch.kind != REFERENCE]
    held = {batch.name: set(catalogue.listing(batch.name)["sha256"]) for batch in batches}
    ids = sorted(set[str]().union(*held.values()))
    found = [_whole(ids, prefix) for prefix in prefixes]
    nameless = set(found)
    for batch in batches:
        if nameless & held[batch.name]:
            rows, _ = catalogue.rows(batch, classes, attribute)
            nameless -= set(rows.loc[rows["path"].notna(), "id"])
    if nameless:
        raise UserError(
            f"no usable row names the screenshot {min(nameless)[:12]}, so that nothing is known of it but its file: "
            "`tilegate data readmit` its refused row"
        )
    return list(dict.fromkeys(found))


def _whole(ids: Sequence[str], prefix: str) -> str:
    if len(prefix) < LEAST_DIGITS:
        raise UserError(f"{prefix!r}: at least {LEAST_DIGITS} digits of a screenshot's sha256 are wanted")
    found = [screenshot for screenshot in ids if screenshot.startswith(prefix.lower())]
    if not found:
        raise UserError(
            f"no labelled screenshot in the catalogue begins with {prefix!r}; `tilegate data quarantine` tells the "
            "digits, and data that were only named with --data have to be added first"
        )
    if len(found) > 1:
        raise UserError(f"{len(found):,} screenshots begin with {prefix!r}, {found[0]} among them: give more digits")
    return found[0]


def check_waived(names: str) -> str:
    """Return the names of rules, commas between, without spaces; raises UserError for one that cannot be waived."""
    rules = [name.strip() for name in names.split(",")]
    for name in rules:
        if name not in WAIVABLE:
            raise UserError(f"the rule {name!r} cannot be waived: one of {', '.join(WAIVABLE)} is wanted")
    return ",".join(dict.fromkeys(rules))


def decisions(screenshots: Sequence[str], *, label: int | None, waive: str, by: str, reason: str) -> list[Entry]:
    """Return a row for each screenshot, which gives it a label, or waives rules for it.

    The time makes each a decision of its own: one that goes back to an earlier one is not that earlier one again.
    """
    said = {"label": label, "waive": waive or None, "by": by, "reason": reason, "decided-at": _now()}
    given = {name: value for name, value in said.items() if value is not None}
    return [Entry({"sha256": screenshot, **given}) for screenshot in screenshots]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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

    def mend(self, refused: Quarantined, *, label: int | None, file: Path | None) -> Entry:
        """Return what replaces a refused row: its columns, with a `label` and a `file` where they are given.

        Raises UserError if that does not mend it, and says what would.
        """
        place, remedy = f"{refused.batch}:{refused.row}", RULES[refused.reason].remedy
        if remedy and remedy.means != "readmit":
            command = remedy.command(place, refused.sha256, (self.classes.negative, self.classes.positive))
            raise UserError(f"{place} is not mended that way. {remedy.text} {command}".rstrip())
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
        return Entry({**values, **decision}, f"{screenshot}{_suffix(file)}", file, left_out)

    def _read(self, batch: Batch, number: int, place: str) -> LabelledRow:
        row = next((row for row in self._rows(batch) if row.row == number), None)
        if row is None or isinstance(row, RefusedRow):
            why = f"({row.detail}) " if row else ""
            raise UserError(
                f"{place} cannot be read {why}as a row: write it anew in a labels file, with {place} in a column "
                "`replaces`, and `tilegate data add --kind review` it"
            )
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
        for seen in self.catalogue.sightings(screenshot, self.classes, self.attribute):
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
