"""The catalogue of this machine's store: every batch, in the order in which they were added.

`labelled/<batch>/` holds a batch as it came, `catalogue/<batch>.parquet` its listing and `catalogue/<batch>.json` its
card, written in this order: a batch without a card does not exist. A name is the time of adding and the beginning of
the content's digest, and sorts after all earlier ones.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.data.add import Added, add_source
from pipelines.data.clock import Clock, utc_now
from pipelines.data.snapshots import Card, added_batches, added_cards, catalogue_batches, read_card
from pipelines.definition.settings import Settings
from pipelines.executor.store import LocalStore
from pipelines.locks import exclusive
from pipelines.storage.folder import FolderObjects
from steps.core.common.errors import UserError
from steps.core.dataset.classes import Classes
from steps.core.dataset.rows import check_batch, no_rows, read_rows
from steps.core.dataset.snapshot import REFERENCE, REVIEW, Batch, Place, read_listing
from steps.core.dataset.tables import Quarantined

_PLACE = Place()
# Whoever removes what is half-added holds the lock while a million files go.
_WAIT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """A batch that holds a screenshot, or says something of it.

    `path` is where it lies in the batch, None in a review that names it by its sha256 alone; `rows` are the labelled
    rows that name it, with the columns of `steps.core.dataset.rows`: none in a reference, or if its rows were refused.
    """

    batch: Batch
    path: str | None
    rows: pd.DataFrame


class Catalogue:
    """The batches in a store. Any number of processes may add to it at the same time, and be killed at any moment."""

    def __init__(self, store: LocalStore, settings: Settings, *, clock: Clock = utc_now) -> None:
        self.store = store
        self.data = FolderObjects(store.path(settings.uri()), settings.bucket)
        self._settings = settings
        self._clock = clock

    def uri(self, *parts: str) -> str:
        """Return a URI in the bucket that holds the batches."""
        return self._settings.uri(*parts)

    def folder(self, batch: Batch) -> Path:
        """Return where the batch's files lie."""
        return self.store.path(self.uri(_PLACE.labelled, batch.name))

    def cards(self) -> list[Card]:
        """Return the cards of all batches in the order in which they were added, withdrawn ones too."""
        return added_cards(self.data)

    def batches(self, kind: str | None = None) -> list[Batch]:
        """Return the batches that are not withdrawn in the order in which they were added; all kinds, or one."""
        return [batch for batch in catalogue_batches(self.data) if kind in (None, batch.kind)]

    def added(self) -> list[Batch]:
        """Return all batches, withdrawn ones too."""
        return added_batches(self.data)

    def card(self, name: str) -> Card:
        """Return a batch's card, also if it was withdrawn; raises UserError if there is no such batch."""
        if name not in {batch.name for batch in self.added()}:
            raise UserError(f"there is no batch {name!r}; `tilegate data status` lists them")
        return read_card(self.data, name)

    def listing(self, name: str) -> pd.DataFrame:
        """Return the regular files of a batch, without its labels file: columns path, sha256, bytes."""
        return read_listing(self.store.path(self.uri(_PLACE.catalogue, f"{name}.parquet")))

    def rows(
        self, batch: Batch, classes: Classes, attribute: str | None = None
    ) -> tuple[pd.DataFrame, Sequence[Quarantined]]:
        """Return the labelled rows of a batch as ValidateData reads them, and the refused ones; none of a reference.

        Raises UserError if the batch is not what was added.
        """
        if batch.kind == REFERENCE:
            return no_rows(), []
        listing = self.listing(batch.name)
        check_batch(batch, self.folder(batch), listing)
        return read_rows(batch, self.folder(batch), listing, classes, attribute)

    def screenshots(self, prefix: str) -> list[str]:
        """Return the sha256 of every screenshot that begins with `prefix`, sorted."""
        found: set[str] = set()
        for batch in self.batches():
            ids = self.listing(batch.name)["sha256"]
            found.update(ids[ids.str.startswith(prefix.lower())])
        return sorted(found)

    def sightings(self, screenshot: str, classes: Classes, attribute: str | None = None) -> Iterator[Sighting]:
        """Yield the batches that know a screenshot, given by its sha256, in the order in which they were added."""
        for batch in self.batches():
            listing = self.listing(batch.name)
            paths = listing.loc[listing["sha256"] == screenshot, "path"]
            if paths.empty and batch.kind != REVIEW:
                continue
            rows, _ = self.rows(batch, classes, attribute)
            rows = rows[rows["id"] == screenshot]
            if not (paths.empty and rows.empty):
                yield Sighting(batch, None if paths.empty else str(paths.iloc[0]), rows)

    def lock(self) -> AbstractContextManager[None]:
        """Keep everybody else from removing, and from finishing a batch."""
        return exclusive(self.store.root / ".catalogue.lock", wait_seconds=_WAIT_SECONDS)

    def add(self, source: Path, *, classes: Classes, **options: Any) -> Added:
        """Bring what lies at `source` into the store as one batch, as `add_source` does, with its options."""
        return add_source(
            self.data,
            source,
            classes=classes,
            store=self.store.root,
            alone=self.lock(),
            clock=self._clock,
            **options,
        )
