"""Dataset snapshots among the objects of a bucket: `datasets/<digest>/`, named by what they hold and never changed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.data.batch_card import Card
from pipelines.data.withdrawals import withdrawn_batches
from pipelines.storage.memo import read_memo, write_memo
from pipelines.storage.protocol import ObjectInfo, ObjectStore
from steps.core.common.scratch import scratch
from steps.core.dataset.plan import DATASETS, Source
from steps.core.dataset.snapshot import (
    LABELS,
    MANIFEST,
    PLACE,
    Batch,
    Place,
    read_place,
    snapshot_digest,
    write_snapshot,
)

_MEMO = "cards"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A dataset snapshot in the store: its URI, where its batches lie, and the batches."""

    uri: str
    source: Source
    batches: tuple[Batch, ...]


def added_batches(data: ObjectStore) -> list[Batch]:
    """Return all batches that were added, in that order; cards that were read for an earlier snapshot are remembered.

    Raises UserError for a card that is none.
    """
    return sorted(batch for _, batch in _cards(data, Place(), read_memo(data, _MEMO)).values())


def catalogue_batches(data: ObjectStore) -> list[Batch]:
    """Return the batches that were added and not withdrawn, in that order; raises UserError as `added_batches` does."""
    return _present(data, added_batches(data))


def current_dataset(data: ObjectStore) -> Snapshot | None:
    """Write the snapshot of all batches that are not withdrawn, unless it is there; None if none of them has labels."""
    memo = read_memo(data, _MEMO)
    cards = _cards(data, Place(), memo)
    told = {key: [etag, asdict(batch)] for key, (etag, batch) in cards.items()}
    if told != memo:
        write_memo(data, _MEMO, told)
    batches = _present(data, sorted(batch for _, batch in cards.values()))
    if not any(batch.kind == LABELS for batch in batches):
        return None
    return publish_snapshot(data, batches, Place())


def _present(data: ObjectStore, batches: Sequence[Batch]) -> list[Batch]:
    gone = withdrawn_batches(data)
    return [batch for batch in batches if batch.name not in gone]


def _cards(data: ObjectStore, place: Place, memo: Mapping[str, Any]) -> dict[str, tuple[str, Batch]]:
    """Return every card's etag and batch by its key; only cards that the memo does not know are read."""
    found = {}
    for info in card_objects(data, place):
        if (batch := _remembered(memo.get(info.key), info.etag)) is None:
            batch = read_card(data, info.key).batch
        found[info.key] = (info.etag, batch)
    return found


def card_objects(data: ObjectStore, place: Place) -> Iterator[ObjectInfo]:
    """Yield the objects that are cards."""
    for info in data.list(f"{place.catalogue}/"):
        folder, _, name = info.key.rpartition("/")
        if folder == place.catalogue and name.endswith(".json") and not name.startswith("."):
            yield info


def read_card(data: ObjectStore, key: str) -> Card:
    """Read the card at a key; raises UserError for one that is none."""
    # What is no text is no JSON either, mostly: then the card tells.
    return Card.parse(data.get(key).decode(errors="replace"), data.uri(key))


def _remembered(told: Any, etag: str) -> Batch | None:
    try:
        return Batch(**told[1]) if told[0] == etag else None
    except (TypeError, IndexError, KeyError):
        return None


def publish_snapshot(data: ObjectStore, batches: Sequence[Batch], place: Place) -> Snapshot:
    """Write the snapshot of some batches, unless it is there."""
    digest = snapshot_digest(batches)
    prefix = f"{DATASETS}/{digest}"
    if data.info(f"{prefix}/{MANIFEST}") is None:
        with scratch("snapshot") as folder:
            write_snapshot(folder, batches, place)
            # The manifest last: without it there is no snapshot.
            for name in (PLACE, MANIFEST):
                data.upload(folder / name, f"{prefix}/{name}")
    return Snapshot(data.uri(prefix), Source(digest, place), tuple(batches))


def source_of(uri: str, data: ObjectStore) -> Source | None:
    """Return the snapshot that a DatasetUri names, None if the bucket no longer holds it (or never did)."""
    digest = uri.removeprefix(data.uri(f"{DATASETS}/"))
    if "/" in digest or not digest or data.info(f"{DATASETS}/{digest}/{MANIFEST}") is None:
        return None
    with scratch("snapshot") as folder:
        data.download(f"{DATASETS}/{digest}/{PLACE}", folder / PLACE)
        return Source(digest, read_place(folder))
