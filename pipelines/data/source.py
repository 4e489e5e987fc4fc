"""What lies at a source and is to become a batch: its files, its rows, and the card that it will have."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from pipelines.data.batch_card import Card
from pipelines.data.source_files import Intake, Progress, silent, take_in
from steps.core.common.errors import UserError
from steps.core.dataset.classes import Classes
from steps.core.dataset.label_places import FOLDER_PER_CLASS
from steps.core.dataset.rows import read_rows
from steps.core.dataset.snapshot import KINDS, REFERENCE, Batch
from steps.core.dataset.tables import Quarantined
from steps.validate.checks.stops import ENOUGH, quarantined_share


@dataclass(frozen=True, slots=True)
class Added:
    """What came of adding: `rows` counts all labelled rows, the `refused` among them (of a reference, its pictures).

    `per_label` counts the usable rows by the name of their class. `screenshots` are different ones, of which
    `new_screenshots` were in no earlier batch. `already` tells that `batch` held this very content before, `erased` how
    many files were left out because somebody has erased them.
    """

    batch: Batch
    rows: int
    refused: Sequence[Quarantined]
    per_label: Mapping[str, int]
    screenshots: int
    new_screenshots: int
    already: bool
    erased: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """A source that was read: `rows` are the usable ones (of a reference, its pictures), `refused` the others."""

    source: Path
    kind: str
    intake: Intake
    rows: pd.DataFrame
    refused: Sequence[Quarantined]
    classes: Classes
    attribute: str | None

    def card(self, note: str, by: str) -> Card:
        """Return the batch's card, still without name and time."""
        return Card(
            name="",
            labels=self.intake.labels,
            sha256=self.intake.sha256,
            kind=self.kind,
            added="",
            source=self.source.resolve().name,
            note=note,
            by=by,
            rows=len(self.rows) + len(self.refused),
            refused=len(self.refused),
            bytes=self.intake.bytes,
            classes=self.classes.text if self.classes.given and self.kind != REFERENCE else "",
            attribute=self.attribute or "",
        )

    def added(self, batch: Batch, new: int | None) -> Added:
        """Return what came of adding it as `batch`; `new` counts its new screenshots, None if it was there before."""
        names = (self.classes.negative, self.classes.positive)
        return Added(
            batch=batch,
            rows=len(self.rows) + len(self.refused),
            refused=[replace(row, batch=batch.name) for row in self.refused],
            per_label={name: int((self.rows["label"] == index).sum()) for index, name in enumerate(names)},
            screenshots=self.intake.listing["sha256"].nunique(),
            new_screenshots=new or 0,
            already=new is None,
            erased=self.intake.erased,
        )


def read_source(
    source: Path,
    *,
    kind: str,
    classes: Classes,
    labels: str | None = None,
    attribute: str | None = None,
    store: Path | None = None,
    erased: Collection[str] = frozenset(),
    progress: Progress = silent,
) -> Reading:
    """Read what lies at `source`, a folder or a labels file in one; for `store` and `erased` see `take_in`.

    Raises UserError if no row is usable.
    """
    if kind not in KINDS:
        raise UserError(f"kind {kind!r}: one of {', '.join(KINDS)} is wanted")
    intake = take_in(
        source,
        kind=kind,
        classes=classes,
        labels=labels,
        attribute=attribute,
        store=store,
        erased=erased,
        progress=progress,
    )
    rows, refused = _read(intake, kind, classes, attribute)
    if rows.empty:
        why = f"; the first of {len(refused):,} that cannot be used: {refused[0].detail}" if refused else ""
        what = "picture" if kind == REFERENCE else "usable row"
        raise UserError(f"{source} holds no {what}{why}")
    check_share(str(source), len(rows) + len(refused), len(refused), str(refused[0].detail) if refused else "")
    return Reading(source, kind, intake, rows, refused, classes, attribute)


def check_share(where: str, rows: int, refused: int, first: str) -> None:
    """Raise UserError if so many rows are refused that every run on them would stop."""
    if rows >= ENOUGH and refused > quarantined_share.limit * rows:
        raise UserError(
            f"{where}: {refused:,} of {rows:,} rows cannot be used, and with more than {quarantined_share.limit:.0%} "
            f"every run would stop; the first because: {first}"
        )


def _read(intake: Intake, kind: str, classes: Classes, attribute: str | None) -> tuple[pd.DataFrame, list[Quarantined]]:
    """Return the usable rows of what is to be added and the refused ones; the rows of a reference are its pictures."""
    batch = Batch("", intake.labels, intake.sha256, kind)
    rows, refused = intake.listing.assign(label=None), list[Quarantined]()
    if kind != REFERENCE:
        rows, refused = read_rows(batch, intake.folder, intake.listing, classes, attribute)
        # Why a file could not be taken is known where it was looked for, and not from the listing.
        why = {row.row: row for row in intake.left_out}
        refused = [
            replace(row, reason=why[row.row].reason, detail=why[row.row].detail)
            if row.reason == "missing-file" and row.row in why
            else row
            for row in refused
        ]
    if intake.labels == FOLDER_PER_CLASS:
        # These rows are made of the listing, which knows nothing of a file that could not be taken.
        refused = [
            *refused,
            *(Quarantined("", intake.labels, r.row, r.source_ref, "", r.reason, r.detail) for r in intake.left_out),
        ]
    return rows, refused
