"""The writer of the executor's events to MLflow; called by one thread, in the order of the events."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.definition.step_table import is_rejected
from pipelines.executor.events import (
    ConditionDecided,
    Event,
    ExecutionFinished,
    ExecutionStarted,
    StepFailedEvent,
    StepMetric,
    StepProgress,
    StepRetried,
    StepReused,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    TrialFinished,
    TrialStarted,
)
from pipelines.executor.results import StepResult
from pipelines.tracking import tags
from pipelines.tracking.contents import dataset_digest, files_to_show
from pipelines.tracking.experiment import Links
from pipelines.tracking.overview import PASSED, REJECTED, SHOWN, Overview
from pipelines.tracking.runs import FAILED, FINISHED, KILLED, Runs

Resolve = Callable[[str], Path]
_TRIAL_STATUS = {"Completed": FINISHED, "Stopped": KILLED}
_EXECUTION_STATUS = {"Succeeded": FINISHED, "Failed": FAILED, "Stopped": KILLED}
_TRIAL_NUMBER = re.compile(r"-(\d{3,})(?=-|$)")


@dataclass(slots=True)
class _Open:
    """A run that is being filled."""

    run_id: str
    metrics: set[str] = field(default_factory=set)
    closed: bool = False


class Writer:
    """Turns the events of one execution into a parent run, a run for each step and one for each trial."""

    def __init__(self, runs: Runs, started: ExecutionStarted, at: int, resolve: Resolve) -> None:
        self._runs = runs
        self._execution = started.execution_id
        self._run_dir = started.run_dir
        self._resolve = resolve
        self._dataset = str(started.parameters.get("DatasetUri") or "")
        self._steps: dict[str, _Open] = {}
        self._trials: dict[tuple[str, str], _Open] = {}
        self._done_before: dict[str, str] = {}
        self._trial_count: dict[str, int] = {}
        self._overview = Overview()
        self._rejected, self._why = False, ""
        self.parent = self._open_parent(started, at)

    def write(self, event: Event, at: int) -> None:  # noqa: C901 (one line for each kind of event)
        match event:
            case StepMetric():
                self._metric(event, at)
            case StepStarted():
                self._start(event, at)
            case StepReused():
                self._reuse(event, at)
            case StepSucceeded():
                self._succeed(event, at)
            case StepFailedEvent():
                self._fail(event, at)
            case TrialStarted():
                self._trial(event.step, event.trial_name, event.hyperparameters, at)
            case TrialFinished():
                self._finish_trial(event, at)
            case StepRetried():
                text = f"attempt {event.attempt} of {event.of}: {event.reason}"
                self._runs.label(self._step(event.step, at).run_id, {tags.RETRIED: text})
            case ConditionDecided():
                labels = {tags.OUTCOME: str(event.outcome).lower(), tags.REASON: event.text}
                self._runs.label(self._step(event.step, at).run_id, labels)
            case StepSkipped():
                self._runs.label(self.parent, {tags.SKIPPED_PREFIX + event.step: event.why})
            case ExecutionFinished():
                self._finish(event, at)
            case ExecutionStarted() | StepProgress():
                pass

    @property
    def links(self) -> Links:
        return Links(self._runs.experiment_id, self.parent)

    def flush(self) -> None:
        self._runs.flush()

    def _open_parent(self, started: ExecutionStarted, at: int) -> str:
        earlier = self._runs.find(self._execution)
        parents = [run for run in earlier if tags.PARENT not in run.data.tags]
        if parents:
            parent = str(parents[0].info.run_id)
            self._runs.reopen(parent)
            children = [run for run in earlier if run.data.tags.get(tags.PARENT) == parent]
            finished = [run for run in children if run.info.status == FINISHED and tags.STEP in run.data.tags]
            self._done_before = {run.data.tags[tags.STEP]: str(run.info.run_id) for run in finished}
            return parent
        labels = {tags.EXECUTION_ID: self._execution, tags.DEFINITION_DIGEST: started.definition_digest}
        parent = self._runs.create(self._execution, at, parent=None, labels=labels)
        self._runs.parameters(parent, started.parameters)
        return parent

    def _open(self, step: str, at: int, labels: Mapping[str, str]) -> _Open:
        own = {tags.EXECUTION_ID: self._execution, tags.STEP: step, **labels}
        opened = _Open(self._runs.create(step, at, parent=self.parent, labels=own))
        self._steps[step] = opened
        return opened

    def _step(self, name: str, at: int) -> _Open:
        """Return the run of a step, opened now if no event announced it: not every kind of step starts."""
        return self._steps.get(name) or self._open(name, at, {})

    def _start(self, event: StepStarted, at: int) -> None:
        opened = self._open(event.step, at, {tags.REASON: event.reason})
        training = event.arguments.get("TrainingJobDefinition") or {}
        hyperparameters = event.arguments.get("HyperParameters") or training.get("StaticHyperParameters") or {}
        self._runs.parameters(opened.run_id, hyperparameters)

    def _reuse(self, event: StepReused, at: int) -> None:
        origin = event.execution_id_of_origin
        if origin == self._execution and event.step in self._done_before:
            # This execution was resumed: the step already has its run, from before the crash.
            self._steps[event.step] = _Open(self._done_before[event.step], closed=True)
            self._outputs(event.step, self._steps[event.step], event.result, at)
            return
        labels = {tags.REUSED_FROM: origin, tags.REASON: event.reason}
        opened = self._open(event.step, at, labels)
        self._runs.metric(opened.run_id, "seconds_of_origin", event.seconds_of_origin, at)
        self._outputs(event.step, opened, event.result, at)
        self._close(opened, at, FINISHED)

    def _succeed(self, event: StepSucceeded, at: int) -> None:
        opened = self._step(event.step, at)
        self._runs.metric(opened.run_id, "seconds", event.seconds, at)
        self._outputs(event.step, opened, event.result, at)
        best = event.result.properties.get("BestTrainingJob") or {}
        self._runs.label(opened.run_id, {tags.BEST_TRIAL: best.get("TrainingJobName")})
        self._runs.label(opened.run_id, {tags.MODEL_PACKAGE: event.result.properties.get("ModelPackageArn")})
        self._close(opened, at, FINISHED)

    def _fail(self, event: StepFailedEvent, at: int) -> None:
        opened = self._step(event.step, at)
        self._runs.label(opened.run_id, {tags.FAILURE: event.reason, tags.NOTE: event.reason})
        self._runs.label(opened.run_id, {tags.EXIT_CODE: event.exit_code})
        if name := SHOWN.get(event.step):
            # What a job of this machine has not published is still in its folder: the evidence of a rejection.
            here = self._run_dir / "steps" / event.step / "opt/ml/processing/output" / name
            self._show(opened, event.step, {}, self._resolve(event.uris[name]) if name in event.uris else here, at)
        rejected = is_rejected(event.step, event.exit_code, event.reason)
        if rejected or not self._why:
            self._rejected, self._why = rejected, event.reason
        self._runs.label(opened.run_id, {tags.VERDICT: REJECTED if rejected else None})
        self._close(opened, at, FINISHED if rejected else FAILED)

    def _outputs(self, step: str, opened: _Open, result: StepResult, at: int) -> None:
        shown = result.outputs.get(SHOWN.get(step, ""))
        self._show(opened, step, result.properties, self._resolve(shown.uri) if shown else None, at)

    def _show(self, opened: _Open, step: str, properties: Mapping[str, Any], root: Path | None, at: int) -> None:
        """Show a step's figures and files on the execution's own run."""
        figures, files = self._overview.add(step, properties, files_to_show(root) if root else {})
        for run_id in (self.parent, opened.run_id):
            for name, value in figures.items():
                self._runs.metric(run_id, name, value, at)
        for place, path in files.items():
            self._runs.put(self.parent, place, path)
        if self._overview.dataset_name:
            self._note_dataset()

    def _note_dataset(self) -> None:
        """Note what the execution learns from, once: as the validation has counted it, or else by its address."""
        name, counted = self._overview.dataset_name, self._overview.documents.get("data", {})
        if self._dataset:
            self._runs.dataset(self.parent, self._dataset, name, counted)
            digest = dataset_digest(self._dataset)[:8]
            self._runs.label(self.parent, {tags.DATASET: f"{name} ({digest})" if name else digest})
        self._dataset = ""

    def _trial(self, step: str, trial: str, hyperparameters: Mapping[str, str], at: int) -> _Open:
        if known := self._trials.get((step, trial)):
            return known
        labels = {tags.EXECUTION_ID: self._execution, tags.STEP: step, tags.TRIAL: trial}
        numbers = _TRIAL_NUMBER.findall(trial)
        number = numbers[-1] if numbers else f"{sum(of == step for of, _ in self._trials) + 1:03d}"
        opened = _Open(self._runs.create(f"trial {number}", at, parent=self._step(step, at).run_id, labels=labels))
        self._trials[step, trial] = opened
        self._overview.trials.append(opened.run_id)
        self._runs.parameters(opened.run_id, hyperparameters)
        return opened

    def _finish_trial(self, event: TrialFinished, at: int) -> None:
        opened = self._trial(event.step, event.trial_name, event.hyperparameters, at)
        for name in event.metrics.keys() - opened.metrics:  # one that was printed is there already, value by value
            self._runs.metric(opened.run_id, name, event.metrics[name], at)
        self._runs.metric(opened.run_id, "seconds", event.seconds, at)
        number = self._trial_count.get(event.step, 0)
        self._trial_count[event.step] = number + 1
        if event.objective is not None:
            self._runs.metric(opened.run_id, "objective", event.objective, at)
            self._runs.metric(self._step(event.step, at).run_id, "objective", event.objective, at, number)
        reused = "an earlier run of this trial" if event.reused else None
        why = tags.STOPPED_EARLY if event.status == "Stopped" else tags.FAILURE
        self._runs.label(opened.run_id, {tags.REUSED_FROM: reused, why: event.reason, tags.NOTE: event.reason})
        self._close(opened, at, _TRIAL_STATUS.get(event.status, FAILED))

    def _metric(self, event: StepMetric, at: int) -> None:
        opened = self._step(event.step, at)
        if event.trial is not None:
            opened = self._trial(event.step, event.trial, {}, at)
        opened.metrics.add(event.name)
        self._runs.metric(opened.run_id, event.name, event.value, at, event.index)

    def _close(self, opened: _Open, at: int, status: str) -> None:
        opened.closed = True
        self._runs.close(opened.run_id, at, status)

    def _finish(self, event: ExecutionFinished, at: int) -> None:
        # A rejection is an answer, not a crash.
        status = FINISHED if self._rejected else _EXECUTION_STATUS.get(event.status, FAILED)
        for opened in (*self._trials.values(), *self._steps.values()):
            if not opened.closed:  # a Condition has no end of its own; a stopped job has none either
                self._close(opened, at, FINISHED if status == FINISHED else KILLED)
        self._runs.metric(self.parent, "seconds", event.seconds, at)
        verdict = REJECTED if self._rejected else PASSED if event.status == "Succeeded" else event.status.lower()
        self._note_dataset()
        step = f"{event.failed_step}: " if event.failed_step and not self._rejected else ""
        reason = self._why or event.reason  # of an execution SageMaker says little more than which step failed
        note = self._overview.description(verdict, f"{step}{reason}" if reason else "", self.links)
        labels = {tags.VERDICT: verdict, tags.MODEL_VERSION: self._overview.version}
        self._runs.label(self.parent, {**labels, tags.NOTE: note, tags.FAILURE: reason})
        self._runs.close(self.parent, at, status)
