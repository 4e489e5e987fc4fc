"""A batch into the catalogue of a bucket: its files, its listing, its card last; begun once, finished by anybody.

Who begins claims the content, `catalogue/contents/<kind>-<sha256>.json`, and with it the batch's name. Whoever comes
with the same content later, or at the same time, finishes that batch and makes no second one.
"""

import json
import tempfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from pipelines.data.at_once import at_once
from pipelines.data.batch_card import Card
from pipelines.data.snapshots import catalogue_batches
from pipelines.storage.protocol import LostRace, ObjectStore
from steps.core.common.errors import UserError
from steps.core.dataset.classes import AUTO, Classes
from steps.core.dataset.labels import FOLDER_PER_CLASS
from steps.core.dataset.rows import check_readings
from steps.core.dataset.snapshot import Batch, Place, write_listing

CONTENTS = "contents"
_PLACE = Place()
_STAMP = "%Y%m%dT%H%M%SZ"
_DIGITS = 12
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Contents:
    """What is to become a batch: a card without name and time, its files, and what brings a file to a key.

    `listing` has the columns of `write_listing`, without the labels file.

    `put(path, key)` may be called by several threads; it raises LostRace or UserError if the file has changed.
    """

    card: Card
    listing: pd.DataFrame
    put: Callable[[str, str], None]


def twin_of(draft: Card, batches: Iterable[Batch]) -> Batch | None:
    """Return the first batch of the same content and kind; raises UserError if its labels are read otherwise."""
    twin = next((batch for batch in batches if (batch.sha256, batch.kind) == (draft.sha256, draft.kind)), None)
    if twin:
        check_readings([twin], Classes.parse(draft.classes or AUTO), draft.attribute or None)
    return twin


def publish_batch(
    data: ObjectStore,
    contents: Contents,
    clock: Clock,
    progress: Callable[[int], None] = lambda _: None,
    *,
    alone: AbstractContextManager[None] = nullcontext(),  # noqa: B008 (it holds nothing)
) -> tuple[Batch, bool]:
    """Make a batch of some content; return it, and whether it was there already. What is there is not put again.

    `progress` is told how many files have been put. Within `alone` nobody removes what looks half-added; raises
    UserError if that has happened before.
    """
    draft = contents.card
    batches = catalogue_batches(data)
    if twin := twin_of(draft, batches):
        return twin, True
    claim = f"{_PLACE.catalogue}/{CONTENTS}/{draft.kind}-{draft.sha256}.json"
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
        try:
            data.put(f"{_PLACE.catalogue}/{card.name}.json", card.to_json().encode(), only_if_absent=True)
        except LostRace:
            return card.batch, True
    return card.batch, False


def put_listing(data: ObjectStore, key: str, listing: pd.DataFrame) -> None:
    """Write the listing of a batch to a key."""
    with tempfile.TemporaryDirectory(prefix="tilegate-listing-") as scratch:
        write_listing(Path(scratch) / "listing.parquet", listing)
        data.upload(Path(scratch) / "listing.parquet", key)


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
