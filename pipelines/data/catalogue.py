"""The catalogue: every batch of a store, in the order in which they were added.

`labelled/<batch>/` holds a batch as it came, `catalogue/<batch>.parquet` its listing and `catalogue/<batch>.json` its
card, written in this order: a batch without a card does not exist. A name is the time of adding and the beginning of
the content's digest, and sorts after all earlier ones.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from pipelines.data.batch_card import Card
from pipelines.data.source import Added, read_source
from pipelines.data.source_files import Intake, Progress, copy_files, silent
from pipelines.definition.settings import Settings
from pipelines.executor.store import LocalStore
from pipelines.locks import exclusive
from steps.core.common.errors import UserError
from steps.core.dataset.classes import Classes
from steps.core.dataset.rows import no_rows, read_rows
from steps.core.dataset.snapshot import LABELS, REFERENCE, Batch, read_listing, write_listing
from steps.core.dataset.tables import Quarantined

_STAMP = "%Y%m%dT%H%M%SZ"
_DIGITS = 12
# Whoever publishes a large batch holds the lock while it links a million files, not while it copies them.
_WAIT_SECONDS = 600.0


def utc_now() -> datetime:
    return datetime.now(UTC)


def batch_name(added: datetime, sha256: str) -> str:
    """Return the name of a batch: its time of adding, in UTC, and the beginning of its content's digest."""
    return f"{added.strftime(_STAMP)}-{sha256[:_DIGITS]}"


class Catalogue:
    """The batches in a store. Any number of processes may add to it at the same time, and be killed at any moment."""

    def __init__(self, store: LocalStore, settings: Settings, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.store = store
        self._settings = settings
        self._clock = clock

    def uri(self, *parts: str) -> str:
        """Return a URI in the bucket that holds the batches."""
        return self._settings.uri(*parts)

    def folder(self, batch: Batch) -> Path:
        """Return where the batch's files lie."""
        return self.store.path(self.uri("labelled", batch.name))

    def cards(self) -> list[Card]:
        """Return the cards of all batches in the order in which they were added."""
        paths = self.store.path(self.uri("catalogue")).glob("*.json")
        return sorted((Card.read(path) for path in paths if not path.name.startswith(".")), key=lambda card: card.batch)

    def batches(self, kind: str | None = None) -> list[Batch]:
        """Return the batches in the order in which they were added; all kinds, or one."""
        return [card.batch for card in self.cards() if kind in (None, card.kind)]

    def card(self, name: str) -> Card:
        """Return a batch's card; raises UserError if there is no such batch."""
        path = self.store.path(self.uri("catalogue", f"{name}.json"))
        if not path.is_file():
            raise UserError(f"there is no batch {name!r}; `tilegate data status` lists them")
        return Card.read(path)

    def listing(self, name: str) -> pd.DataFrame:
        """Return the regular files of a batch, without its labels file: columns path, sha256, bytes."""
        return read_listing(self.store.path(self.uri("catalogue", f"{name}.parquet")))

    def find(self, sha256: str, kind: str | None = None) -> Batch | None:
        """Return the first batch of this content, of any kind or of one."""
        return next((batch for batch in self.batches(kind) if batch.sha256 == sha256), None)

    def rows(
        self, batch: Batch, classes: Classes, attribute: str | None = None
    ) -> tuple[pd.DataFrame, Sequence[Quarantined]]:
        """Return the labelled rows of a batch as ValidateData reads them, and the refused ones; none of a reference."""
        if batch.kind == REFERENCE:
            return no_rows(), []
        return read_rows(batch, self.folder(batch), self.listing(batch.name), classes, attribute)

    def lock(self) -> AbstractContextManager[None]:
        """Keep everybody else from adding and removing."""
        return exclusive(self.store.root / ".catalogue.lock", wait_seconds=_WAIT_SECONDS)

    def add(
        self,
        source: Path,
        *,
        classes: Classes,
        kind: str = LABELS,
        labels: str | None = None,
        attribute: str | None = None,
        note: str = "",
        by: str = "",
        progress: Progress = silent,
    ) -> Added:
        """Bring what lies at `source`, a folder or a labels file in one, into the store as one batch.

        Content that a batch of this kind holds already is not added again. Raises UserError if no row is usable, or if
        a file changes while it is read.
        """
        reading = read_source(
            source,
            kind=kind,
            classes=classes,
            labels=labels,
            attribute=attribute,
            store=self.store.root,
            progress=progress,
        )
        twin, new = self.find(reading.intake.sha256, kind), None
        if twin is None:
            twin, new = self._publish(reading.card(note, by), reading.intake, progress)
        return reading.added(twin, classes, new)

    def _publish(self, draft: Card, intake: Intake, progress: Progress) -> tuple[Batch, int | None]:
        """Copy a batch into the store and return it with the number of its new screenshots.

        None stands for somebody else having been faster with the same content.
        """
        wanted = set(intake.listing["sha256"])
        with self.store.scratch() as staged:
            batch_folder = staged / "batch"
            copy_files(intake.folder, intake.objects, batch_folder, stored=self._stored(wanted), progress=progress)
            with self.lock():
                if twin := self.find(draft.sha256, draft.kind):
                    return twin, None
                new = len(wanted) - len(self._stored(wanted))
                added = self._next_time()
                card = replace(
                    draft,
                    name=batch_name(added, draft.sha256),
                    added=added.strftime("%Y-%m-%dT%H:%M:%SZ"),
                )
                self.store.commit(batch_folder, self.uri("labelled", card.name), give_up=True)
                write_listing(staged / "listing.parquet", intake.listing)
                self.store.put_file(
                    staged / "listing.parquet", self.uri("catalogue", f"{card.name}.parquet"), give_up=True
                )
                self.store.put_bytes(card.to_json().encode(), self.uri("catalogue", f"{card.name}.json"))
        return card.batch, new

    def _stored(self, wanted: AbstractSet[str]) -> dict[str, Path]:
        """Return where the store holds the files of these sha256, as far as it does."""
        found: dict[str, Path] = {}
        for batch in self.batches():
            listing = self.listing(batch.name)
            known = listing[listing["sha256"].isin(wanted)]
            for path, sha256 in zip(known["path"], known["sha256"], strict=True):
                found.setdefault(sha256, self.folder(batch) / path)
        return found

    def _next_time(self) -> datetime:
        """Return the present second, or the one after the last batch's if the clock went back or has not moved."""
        now = self._clock().astimezone(UTC).replace(microsecond=0)
        times = [datetime.fromisoformat(batch.added) + timedelta(seconds=1) for batch in self.batches()]
        return max([now, *times])
