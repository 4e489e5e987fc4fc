"""Nights on one machine: a folder of dropped batches, the catalogue, and the pipeline run in this very process."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pipelines.data.catalogue import Catalogue
from pipelines.data.clock import Clock
from pipelines.data.inbox import FolderInbox
from pipelines.data.snapshots import Snapshot, current_dataset
from pipelines.definition.compiler import compile_cached
from pipelines.definition.settings import Settings
from pipelines.locks import exclusive
from pipelines.nightly.lease import Check, NightBusyError
from pipelines.nightly.records import Question
from pipelines.planning.earlier_runs import EarlierRun
from pipelines.runs.local_run import LocalExecutions
from pipelines.runs.local_start import LocalStart, defaults_of, identity_of
from pipelines.runs.start import reading_of
from steps.core.dataset.snapshot import Batch


class LocalSite:
    """The nights of a home; `chosen` are parameters by name."""

    def __init__(
        self,
        home: Path,
        settings: Settings,
        *,
        inbox: FolderInbox | None,
        weights: Path | None,
        chosen: Mapping[str, Any],
    ) -> None:
        self._home, self._settings, self._inbox = home, settings, inbox
        self._weights, self._chosen = weights, chosen
        self._start = LocalStart(home, settings)
        self.artifacts = self._start.artifacts
        self.executions = LocalExecutions(home, settings)

    @property
    def pipeline(self) -> str:
        return self._settings.name

    @contextmanager
    def alone(self, clock: Clock) -> Iterator[Check]:  # noqa: ARG002 (the kernel lets go of a lock when its holder dies)
        with ExitStack() as held:
            try:
                held.enter_context(exclusive(self._home / "night.lock", wait_seconds=0))
            except TimeoutError:
                raise NightBusyError("a night is being held in this home already") from None
            yield lambda: None

    def take_in(self) -> Iterator[str]:
        if self._inbox:
            values = self._start.values(self._chosen, self._weights)
            yield from self._inbox.take_in(self._catalogue, *reading_of(values), now=time.time())

    def data(self) -> Snapshot | None:
        return current_dataset(self._start.data)

    def settings(self) -> str:
        values = {**defaults_of(self._settings), **self._chosen}
        values |= self._start.weights(values["Backbone"], self._weights)
        asked = [compile_cached(self._settings, self._home / "compiled"), identity_of(values)]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()

    def labels(self, batch: Batch) -> int:
        card = self._catalogue.card(batch.name)
        return card.rows - card.refused

    def parameters(self, data: Snapshot, question: Question, earlier: Sequence[EarlierRun]) -> Mapping[str, Any]:  # noqa: ARG002
        """See the protocol; earlier than tonight's are all runs of the home, those between the nights among them."""
        return self._start.prepare(data, self._start.values(self._chosen, self._weights))

    @property
    def _catalogue(self) -> Catalogue:
        return Catalogue(self._start.store, self._settings)
