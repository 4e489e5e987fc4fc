"""Nights on one machine: a folder of dropped batches, the catalogue, and the pipeline run in this very process."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.data.catalogue import Catalogue
from pipelines.data.folder_inbox import FolderInbox
from pipelines.definition.compiler import compile_cached
from pipelines.definition.settings import Settings
from pipelines.executor.store import LocalStore
from pipelines.locks import exclusive
from pipelines.nightly.lease import Lease, NightBusyError
from pipelines.nightly.night import Clock, Data
from pipelines.nightly.records import Question
from pipelines.planning.champion_and_ledger import identity_of
from pipelines.planning.earlier_runs import EarlierRun
from pipelines.runs.inputs import catalogue_snapshot, weights_of
from pipelines.runs.local_executions import ExecutionsHere
from pipelines.runs.local_run import RunRequest, artifacts_here, parameter_values
from steps.core.dataset.classes import AUTO, Classes
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
        self._store = LocalStore(home / "store")
        self.artifacts = artifacts_here(self._store, settings)
        request = RunRequest(home, data=None, sample=False, weights=weights, resume=None, parameters=chosen)
        self.executions = ExecutionsHere(request, settings)

    @property
    def pipeline(self) -> str:
        return self._settings.name

    @contextmanager
    def alone(self, clock: Clock) -> Iterator[Lease]:  # noqa: ARG002 (the kernel lets go of a lock when its holder dies)
        try:
            with exclusive(self._home / "night.lock", wait_seconds=0):
                yield _Kept()
        except TimeoutError:
            raise NightBusyError("a night is being held in this home already") from None

    def take_in(self) -> Iterator[str]:
        if self._inbox:
            values = parameter_values(self._chosen, self._settings)
            attribute = None if values["LabelAttribute"] == AUTO else str(values["LabelAttribute"])
            catalogue = Catalogue(self._store, self._settings)
            yield from self._inbox.take_in(catalogue, Classes.parse(values["Classes"]), attribute, now=time.time())

    def data(self) -> Data | None:
        snapshot = catalogue_snapshot(self._store, self._settings)
        return Data(snapshot.uri, snapshot.batches) if snapshot else None

    def settings(self) -> str:
        values = parameter_values(self._chosen, self._settings)
        weights = weights_of(self._weights, values["Backbone"], self._store, self._settings)
        definition = compile_cached(self._settings, self._home / "compiled")
        asked = [definition, identity_of({**values, "PretrainedWeightsUri": weights})]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()

    def labels(self, batch: Batch) -> int:
        card = Catalogue(self._store, self._settings).card(batch.name)
        return card.rows - card.refused

    def parameters(self, data: Data, question: Question, earlier: Sequence[EarlierRun]) -> Mapping[str, str]:  # noqa: ARG002
        """Return what was chosen, for the record: the run itself finds what it is judged against."""
        return {"DatasetUri": data.uri, **{name: str(value) for name, value in self._chosen.items()}}


class _Kept:
    def check(self) -> None:
        """Nobody can take a kernel's lock away."""
