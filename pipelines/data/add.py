"""A batch into the catalogue of a bucket, here or in S3: its files, its listing, its card last.

Who begins claims the content, `catalogue/contents/<kind>-<sha256>.json`, and with it the batch's name. Whoever comes
with the same content later, or at the same time, finishes that batch and makes no second one.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from pipelines.data.clock import Clock, utc_now
from pipelines.data.parts import Parts
from pipelines.data.snapshots import Card, added_batches, catalogue_batches
from pipelines.data.source import Intake, Progress, silent, take_in
from pipelines.data.withdrawals import erased_images, last_withdrawal, withdrawn_batches
from pipelines.storage.bulk import Mirror, at_once
from pipelines.storage.protocol import LostRace, NoSuchObject, ObjectStore
from steps.core.common.errors import UserError
from steps.core.common.scratch import scratch
from steps.core.dataset.classes import AUTO, Classes
from steps.core.dataset.label_places import FOLDER_PER_CLASS
from steps.core.dataset.plan import Source
from steps.core.dataset.rows import check_readings
from steps.core.dataset.snapshot import LABELS, REFERENCE, Batch, Place, write_listing
from steps.core.dataset.tables import Quarantined
from steps.validate.checks.stops import ENOUGH, quarantined_share

CONTENTS = "contents"
_PLACE = Place()
_STAMP = "%Y%m%dT%H%M%SZ"
_DIGITS = 12


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


def add_source(
    data: ObjectStore,
    source: Path,
    *,
    classes: Classes,
    kind: str = LABELS,
    labels: str | None = None,
    attribute: str | None = None,
    note: str = "",
    by: str = "",
    again: bool = False,
    whole: bool = False,
    store: Path | None = None,
    alone: AbstractContextManager[None] | None = None,
    progress: Progress = silent,
    clock: Clock = utc_now,
) -> Added:
    """Make one batch of what lies at `source`, a folder or a labels file in one; for `store` see `take_in`.

    Content that a batch of this kind holds already is not added again, and a file that the bucket holds is copied
    there. For `alone` and `again` see `publish_batch`. Raises UserError if no row is usable, with `whole` if one is
    not, or if a file changes meanwhile.
    """
    intake = take_in(
        source,
        kind=kind,
        classes=classes,
        labels=labels,
        attribute=attribute,
        store=store,
        erased=erased_images(data),
        progress=progress,
    )
    usable, refused = intake.rows(kind, classes, attribute)
    rows, first = len(usable) + len(refused), refused[0].detail if refused else ""
    if whole and refused:
        raise UserError(f"the decision cannot be written: {first}")
    check_usable(str(source), rows, len(refused), first, "picture" if kind == REFERENCE else "usable row")
    draft = Card(
        name="",
        labels=intake.labels,
        sha256=intake.sha256,
        kind=kind,
        added="",
        source=source.resolve().name,
        note=note,
        by=by,
        rows=rows,
        refused=len(refused),
        bytes=intake.bytes,
        classes=classes.text if classes.given and kind != REFERENCE else "",
        attribute=attribute or "",
    )
    batches = catalogue_batches(data)
    check_readings([*batches, draft.batch], Classes(given=False), None)
    wanted, here = set(intake.listing["sha256"]), Source("")
    known = {}
    if _twin(data, draft, added_batches(data), again=again) is None:
        with scratch("add") as folder:
            parts = Parts(Mirror(data, folder)).of(here, batches)
        files = ((part.batch, path, sha256) for part in parts for path, sha256 in part.files if sha256 in wanted)
        known = {sha256: here.file_key(batch, path) for batch, path, sha256 in files}
    batch, already = publish_batch(
        data,
        draft,
        intake.listing,
        storing(data, intake, known),
        clock=clock,
        alone=alone,
        again=again,
        progress=lambda done: progress("Stored", done, len(intake.objects)),
    )
    names = (classes.negative, classes.positive)
    return Added(
        batch=batch,
        rows=rows,
        refused=[replace(row, batch=batch.name) for row in refused],
        per_label={name: int((usable["label"] == index).sum()) for index, name in enumerate(names)},
        screenshots=len(wanted),
        new_screenshots=0 if already else len(wanted) - len(known),
        already=already,
        erased=intake.erased,
    )


def check_usable(where: str, rows: int, refused: int, first: str, what: str = "usable row") -> None:
    """Raise UserError if no row is usable, or so few that every run on them would stop; `first` is why one is not."""
    if rows == refused:
        why = f"; the first of {refused:,} that cannot be used: {first}" if refused else ""
        raise UserError(f"{where} holds no {what}{why}")
    if rows >= ENOUGH and refused > quarantined_share.limit * rows:
        raise UserError(
            f"{where}: {refused:,} of {rows:,} rows cannot be used, and with more than {quarantined_share.limit:.0%} "
            f"every run would stop; the first because: {first}"
        )


def storing(data: ObjectStore, intake: Intake, known: Mapping[str, str] | None = None) -> Callable[[str, str], None]:
    """Return what brings a file of an intake, by its path, to a key; `known` are keys of the same bytes by sha256."""
    expected = dict(intake.objects)

    def put(path: str, key: str) -> None:
        if (there := (known or {}).get(expected[path])) and _copied(data, there, key, expected[path]):
            return
        if data.upload(intake.folder / path, key) != expected[path]:
            data.delete(key)
            raise UserError(f"{intake.folder / path} changed while it was read: start again when nothing writes to it")

    return put


def _copied(data: ObjectStore, there: str, key: str, sha256: str) -> bool:
    """Copy an object; False if it has decayed, which must not be handed on: the good bytes are at hand."""
    try:
        data.copy(there, key)
    except NoSuchObject:
        return False
    return data.sha256(key) == sha256


def _twins(draft: Card, batches: Iterable[Batch]) -> list[Batch]:
    return [batch for batch in batches if (batch.sha256, batch.kind) == (draft.sha256, draft.kind)]


def _twin(data: ObjectStore, draft: Card, batches: Iterable[Batch], *, again: bool) -> Batch | None:
    """Return the first batch of this content and kind that is not withdrawn; raises as `publish_batch` does."""
    twins = _twins(draft, batches)
    gone = withdrawn_batches(data) if twins else set()
    twin = next((batch for batch in twins if batch.name not in gone), None)
    if twin:
        check_readings([twin], Classes.parse(draft.classes or AUTO), draft.attribute or None)
    if twins and not twin and not again:
        name = twins[-1].name
        raise UserError(
            f"just this is the batch {name}, which was withdrawn {last_withdrawal(data, name)}; `tilegate data "
            f"withdraw {name} --undo` brings it back, `tilegate data add --again` adds it anew"
        )
    return twin


def publish_batch(
    data: ObjectStore,
    draft: Card,
    listing: pd.DataFrame,
    put: Callable[[str, str], None],
    *,
    clock: Clock,
    alone: AbstractContextManager[None] | None = None,
    again: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[Batch, bool]:
    """Make a batch of some content; return it, and whether it was there already. What is there is not put again.

    `draft` is its card without name and time, `listing` has the columns of `write_listing`, without the labels file.
    `put(path, key)` brings a file to a key: several threads may call it, and it raises LostRace or UserError if the
    file has changed. `progress` is told how many files have been put. Within `alone` nobody removes what looks
    half-added; raises UserError if that has happened before, if the batch's labels are read otherwise, or if it was
    withdrawn, unless `again` says that this is known.
    """
    batches = added_batches(data)
    if twin := _twin(data, draft, batches, again=again):
        return twin, True
    # One that was withdrawn keeps its claim, and with it its name.
    number = len(_twins(draft, batches))
    stem = f"{draft.kind}-{draft.sha256}" + (f"-{number}" if number else "")
    claim = f"{_PLACE.catalogue}/{CONTENTS}/{stem}.json"
    card = _claimed(data, claim, draft, batches, clock)
    folder = f"{_PLACE.labelled}/{card.name}/"
    there = {info.key for info in data.list(folder)}
    labels = [] if draft.labels == FOLDER_PER_CLASS else [draft.labels]
    missing = (path for path in (*listing["path"], *labels) if folder + path not in there)
    for done, _ in enumerate(at_once(lambda path: put(path, folder + path), missing), start=1):
        progress(done)
    put_listing(data, f"{_PLACE.catalogue}/{card.name}.parquet", listing)
    with alone or nullcontext():
        if data.info(claim) is None:
            raise UserError(f"the batch {card.name} was removed while it was being added: add it again")
        if erased := erased_images(data) & set(listing["sha256"]):
            raise UserError(
                f"the screenshot {min(erased)[:12]} was erased while the batch was being added: repeat `tilegate data "
                "erase` on it, and add the batch again"
            )
        try:
            data.put(f"{_PLACE.catalogue}/{card.name}.json", card.to_json().encode(), only_if_absent=True)
        except LostRace:
            return card.batch, True
    return card.batch, False


def put_listing(data: ObjectStore, key: str, listing: pd.DataFrame) -> None:
    """Write the listing of a batch to a key."""
    with scratch("listing") as folder:
        write_listing(folder / "listing.parquet", listing)
        data.upload(folder / "listing.parquet", key)


def _claimed(data: ObjectStore, key: str, draft: Card, batches: Iterable[Batch], clock: Clock) -> Card:
    """Return the card with the name that the content has, or gets now: after all earlier ones, so that it sorts so."""
    now = clock().astimezone(UTC).replace(microsecond=0)
    added = max([now, *(datetime.fromisoformat(batch.added) + timedelta(seconds=1) for batch in batches)])
    name = f"{added.strftime(_STAMP)}-{draft.sha256[:_DIGITS]}"
    text = json.dumps({"name": name, "added": added.strftime("%Y-%m-%dT%H:%M:%SZ")}).encode()
    try:
        data.put(key, text, only_if_absent=True)
    except LostRace:
        text = data.get(key)
        data.put(key, text)  # Written anew, it does not look as if nobody were at work on it.
    try:
        claim = json.loads(text)
        return replace(draft, name=str(claim["name"]), added=str(claim["added"]))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{data.uri(key)} is no claim of a content ({error!r}): remove it") from None
