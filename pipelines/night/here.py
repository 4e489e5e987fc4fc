"""Nights on one machine: a folder of dropped batches, the catalogue, and the pipeline run in this very process."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.catalogue import Catalogue
from pipelines.definition.compiler import compile_cached
from pipelines.history.earlier import EarlierRun, RunHere
from pipelines.history.judged import identity_of
from pipelines.intake.labelled import catalogue_snapshot, weights_of
from pipelines.local import LocalStore, RunSummary, load_runs
from pipelines.local.files import read_json
from pipelines.night.decide import Status
from pipelines.night.executions import REJECTING, Outcome
from pipelines.night.holding import Clock, Data
from pipelines.night.inbox import FolderInbox
from pipelines.night.lease import Lease, NightBusyError
from pipelines.night.records import Question
from pipelines.running import RunRequest, artifacts_here, parameter_values, run_pipeline
from pipelines.settings import Settings
from pipelines.tracking.locks import exclusive
from steps.core.classes import AUTO, Classes
from steps.core.program import EXIT_REJECTED
from steps.core.snapshot import Batch


class ExecutionsHere:
    """The runs of a home; `request` is what each of them is asked for. A night's run bears its name as its note."""

    def __init__(self, request: RunRequest, settings: Settings) -> None:
        self._request, self._settings = request, settings

    def start(self, display_name: str, token: str, parameters: Mapping[str, str]) -> str:  # noqa: ARG002 (one process)
        """Run the pipeline to its end, going on with the run of that name if it was interrupted; return its id."""
        interrupted = self._named(display_name, "Interrupted")
        request = dataclasses.replace(self._request, note=display_name)
        if interrupted:
            request = dataclasses.replace(request, weights=None, parameters={}, resume=interrupted)
        run_pipeline(request, self._settings)
        return str(self.find(display_name))

    def find(self, display_name: str) -> str | None:
        """See the protocol; a run that was interrupted has not been started as far as a night goes."""
        return self._named(display_name)

    def outcome(self, execution: str) -> Outcome:
        run = next((run for run in self._runs() if run.id == execution), None)
        if run is None:
            return Outcome(Status.STOPPED, "its folder is gone")
        job = RunHere(run).tuning_job() or ""
        status = Status.STOPPED if run.status == "Interrupted" else Status(run.status)
        if status is Status.FAILED and _is_rejected(run):
            status = Status.REJECTED
        return Outcome(status, run.reason or "", run.failed_step or "", job)

    def executing(self) -> str | None:
        return next((run.id for run in self._runs() if run.status == "Executing"), None)

    def _runs(self) -> list[RunSummary]:
        return [run for run in load_runs(self._request.home) if run.pipeline == self._settings.name]

    def _named(self, note: str, status: str | None = None) -> str | None:
        for run in reversed(self._runs()):
            if run.code_note == note and (run.status == status if status else run.status != "Interrupted"):
                return run.id
        return None


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


def _is_rejected(run: RunSummary) -> bool:
    if run.failed_step == REJECTING:
        return True
    document = read_json(run.run_dir / "steps" / str(run.failed_step) / "result.json")
    return bool(document) and document.get("exit_code") == EXIT_REJECTED
