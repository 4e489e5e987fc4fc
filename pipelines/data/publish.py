"""A batch into the catalogue of a bucket: its files, its listing, its card last; begun once, finished by anybody.

Who begins claims the content, `catalogue/contents/<kind>-<sha256>.json`, and with it the batch's name. Whoever comes
with the same content later, or at the same time, finishes that batch and makes no second one.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pandas as pd

from pipelines.data.batch_card import Card
from pipelines.data.clock import Clock
from pipelines.data.snapshots import added_batches
from pipelines.data.withdrawals import erased_images, last_withdrawal, withdrawn_batches
from pipelines.storage.bulk import at_once
from pipelines.storage.protocol import LostRace, ObjectStore
from steps.core.common.errors import UserError
from steps.core.common.scratch import scratch
from steps.core.dataset.classes import AUTO, Classes
from steps.core.dataset.label_places import FOLDER_PER_CLASS
from steps.core.dataset.rows import check_readings
from steps.core.dataset.snapshot import Batch, Place, write_listing

CONTENTS = "contents"
_PLACE = Place()
_STAMP = "%Y%m%dT%H%M%SZ"
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Contents:
    """What is to become a batch: a card without name and time, its files, and what brings a file to a key.

    `listing` has the columns of `write_listing`, without the labels file.

    `put(path, key)` may be called by several threads; it raises LostRace or UserError if the file has changed.
    """

    card: Card
    listing: pd.DataFrame
    put: Callable[[str, str], None]


def twin_of(data: ObjectStore, draft: Card, *, again: bool = False) -> Batch | None:
    """Return the first batch that is of the same content and kind, and not withdrawn.

    Raises UserError if its labels are read otherwise, or if there are only withdrawn ones, unless `again` says that
    this is known.
    """
    twins = _twins(added_batches(data), draft)
    gone = withdrawn_batches(data) if twins else set()
    twin = next((batch for batch in twins if batch.name not in gone), None)
    if twin:
        check_readings([twin], Classes.parse(draft.classes or AUTO), draft.attribute or None)
    if twins and not twin and not again:
        raise UserError(
            f"just this is the batch {twins[-1].name}, which was withdrawn {last_withdrawal(data, twins[-1].name)}; "
            f"`tilegate data withdraw {twins[-1].name} --undo` brings it back, `tilegate data add --again` adds it anew"
        )
    return twin


def _twins(batches: Iterable[Batch], draft: Card) -> list[Batch]:
    return [batch for batch in batches if (batch.sha256, batch.kind) == (draft.sha256, draft.kind)]


def publish_batch(
    data: ObjectStore,
    contents: Contents,
    clock: Clock,
    progress: Callable[[int], None] = lambda _: None,
    *,
    alone: AbstractContextManager[None] = nullcontext(),  # noqa: B008 (it holds nothing)
    again: bool = False,
) -> tuple[Batch, bool]:
    """Make a batch of some content; return it, and whether it was there already. What is there is not put again.

    `progress` is told how many files have been put; `again` is as for `twin_of`. Within `alone` nobody removes what
    looks half-added; raises UserError if that has happened before.
    """
    draft = contents.card
    if twin := twin_of(data, draft, again=again):
        return twin, True
    batches = added_batches(data)
    # One that was withdrawn keeps its claim, and with it its name.
    number = len(_twins(batches, draft))
    stem = f"{draft.kind}-{draft.sha256}" + (f"-{number}" if number else "")
    claim = f"{_PLACE.catalogue}/{CONTENTS}/{stem}.json"
    card = _claimed(data, claim, draft, batches, clock)
    folder = f"{_PLACE.labelled}/{card.name}/"
    there = {info.key for info in data.list(folder)}
    labels = [] if draft.labels == FOLDER_PER_CLASS else [draft.labels]
    missing = (path for path in (*contents.listing["path"], *labels) if folder + path not in there)
    for done, _ in enumerate(at_once(lambda path: contents.put(path, folder + path), missing), start=1):
        progress(done)
    put_listing(data, f"{_PLACE.catalogue}/{card.name}.parquet", contents.listing)
    with alone:
        if data.info(claim) is None:
            raise UserError(f"the batch {card.name} was removed while it was being added: add it again")
        if erased := erased_images(data) & set(contents.listing["sha256"]):
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
    times = [datetime.fromisoformat(batch.added) + timedelta(seconds=1) for batch in batches]
    added = max([now, *times])
    name = f"{added.strftime(_STAMP)}-{draft.sha256[:_DIGITS]}"
    card = replace(draft, name=name, added=added.strftime("%Y-%m-%dT%H:%M:%SZ"))
    claim = {"name": card.name, "added": card.added}
    try:
        data.put(key, json.dumps(claim).encode(), only_if_absent=True)
    except LostRace:
        try:
            told = data.get(key)
            claim = json.loads(told)
            card = replace(draft, name=str(claim["name"]), added=str(claim["added"]))
            data.put(key, told)  # Written anew, it does not look as if nobody were at work on it.
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{data.uri(key)} is no claim of a content ({error!r}): remove it") from None
    return card
