"""The batches of a bucket by their cards, and the dataset snapshots that are made of them.

A card says what a batch is, where it came from and what came in; a batch without a card does not exist. A snapshot is a
folder `datasets/<digest>/`, named by what it holds and never changed.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import PurePosixPath
from typing import Any, Self

from pipelines.data.withdrawals import withdrawn_batches
from pipelines.storage.bulk import read_memo, write_memo
from pipelines.storage.protocol import ObjectInfo, ObjectStore
from steps.core.common.errors import UserError
from steps.core.common.scratch import scratch
from steps.core.dataset.plan import DATASETS, Source
from steps.core.dataset.snapshot import (
    KINDS,
    LABELS,
    MANIFEST,
    PLACE,
    Batch,
    Place,
    read_place,
    snapshot_digest,
    write_snapshot,
)

CARD_VERSION = 1
_CATALOGUE = Place().catalogue
_MEMO = "cards"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card(Batch):
    """A batch as its card has it; cards of before have neither `classes` nor `attribute`.

    `source` is the last part of the path that was added, `by` and `note` are what a person said of it. `rows` counts
    all labelled rows (of a reference, its pictures), `refused` those that could not be used then, `bytes` what all of
    its files hold, the labels file included.
    """

    source: str
    note: str
    by: str
    rows: int
    refused: int
    bytes: int

    @property
    def batch(self) -> Batch:
        return Batch(**{field.name: getattr(self, field.name) for field in fields(Batch)})

    def to_json(self) -> str:
        return json.dumps({"version": CARD_VERSION, **asdict(self)}, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def parse(cls, text: str, place: str) -> Self:
        """Read the card that lies at `place`, a URI; raises UserError that names it."""
        try:
            value = json.loads(text)
        except ValueError as error:
            raise UserError(f"{place} is no JSON ({error}): restore it, or add the batch again") from None
        try:
            card = cls(**{key: value[key] for key in value if key != "version"})
            problem = card.problem(value.get("version"), PurePosixPath(place).stem)
        except (AttributeError, TypeError) as error:
            problem = str(error)
        if problem:
            raise UserError(f"{place} is no card of a batch ({problem}): restore it, or add the batch again")
        return card

    def problem(self, version: object, name: str) -> str:
        """Return what is wrong with a card that lies under `name`, "" if nothing is."""
        if version != CARD_VERSION:
            return f"version {version!r}, this program reads {CARD_VERSION}"
        if wrong := [f.name for f in fields(self) if type(getattr(self, f.name)) is not f.type]:
            return f"{', '.join(wrong)} of the wrong type"
        if self.kind not in KINDS or self.name != name:
            return f"kind {self.kind!r}, name {self.name!r}"
        return ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A dataset snapshot in the store: its URI, where its batches lie, and the batches."""

    uri: str
    source: Source
    batches: tuple[Batch, ...]


def read_card(data: ObjectStore, batch: str) -> Card:
    """Read the card of a batch, by its name; raises UserError for one that is none."""
    key = f"{_CATALOGUE}/{batch}.json"
    # What is no text is no JSON either, mostly: then the card tells.
    return Card.parse(data.get(key).decode(errors="replace"), data.uri(key))


def added_cards(data: ObjectStore, *, keep: bool = False) -> list[Card]:
    """Return the cards of all batches in the order in which they were added, withdrawn ones too.

    Only what is not remembered is read; with `keep` the next one remembers it. Raises UserError for a card that is
    none.
    """
    memo, cards = read_memo(data, _MEMO), dict[str, tuple[str, Card]]()
    for info in data.list(f"{_CATALOGUE}/"):
        path = PurePosixPath(info.key)
        if str(path.parent) == _CATALOGUE and path.suffix == ".json" and not path.name.startswith("."):
            cards[info.key] = info.etag, _remembered(memo.get(info.key), info) or read_card(data, path.stem)
    document = {key: [etag, asdict(card)] for key, (etag, card) in cards.items()}
    if keep and document != memo:
        write_memo(data, _MEMO, document)
    return sorted(card for _, card in cards.values())


def _remembered(entry: Any, info: ObjectInfo) -> Card | None:
    try:
        card = Card(**entry[1])
        is_whole = entry[0] == info.etag and not card.problem(CARD_VERSION, PurePosixPath(info.key).stem)
    except (TypeError, IndexError, KeyError):
        return None
    return card if is_whole else None


def added_batches(data: ObjectStore) -> list[Batch]:
    """Return all batches that were added, in that order; raises UserError for a card that is none."""
    return [card.batch for card in added_cards(data)]


def catalogue_batches(data: ObjectStore, *, keep: bool = False) -> list[Batch]:
    """Return the batches that were added and not withdrawn, as `added_cards` does."""
    cards = added_cards(data, keep=keep)
    gone = withdrawn_batches(data)  # after them: what is withdrawn meanwhile is withdrawn
    return [card.batch for card in cards if card.name not in gone]


def current_dataset(data: ObjectStore) -> Snapshot | None:
    """Write the snapshot of all batches that are not withdrawn, unless it is there; None if none of them has labels."""
    batches = catalogue_batches(data, keep=True)
    return publish_snapshot(data, batches, Place()) if any(batch.kind == LABELS for batch in batches) else None


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
