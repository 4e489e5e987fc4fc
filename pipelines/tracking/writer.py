"""The writer of the executor's events to MLflow; called by one thread, in the order of the events."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from pipelines.tracking.contents import METRIC_FILES, dataset_uris, input_uris, metrics_of, select_files
from pipelines.tracking.runs import FAILED, FINISHED, KILLED, Runs

Resolve = Callable[[str], Path]
_TRIAL_STATUS = {"Completed": FINISHED, "Stopped": KILLED}
_EXECUTION_STATUS = {"Succeeded": FINISHED, "Failed": FAILED, "Stopped": KILLED}


@dataclass(slots=True)
class _Open:
    """A run that is being filled."""

    run_id: str
    step_type: str = ""
    group: str = ""
    metrics: set[str] = field(default_factory=set)
    closed: bool = False


class Writer:
    """Turns the events of one execution into a parent run, a run for each step and one for each trial."""

    def __init__(self, runs: Runs, started: ExecutionStarted, at: int, resolve: Resolve) -> None:
        self._runs = runs
        self._execution = started.execution_id
        self._run_dir = started.run_dir
        self._resolve = resolve
        self._datasets = tuple(dataset_uris(started.parameters))
        self._steps: dict[str, _Open] = {}
        self._trials: dict[tuple[str, str], _Open] = {}
        self._done_before: set[str] = set()
        self._trial_count: dict[str, int] = {}
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
                self._runs.label(self._step(event.step, at, "Condition").run_id, labels)
            case StepSkipped():
                self._runs.label(self.parent, {tags.SKIPPED_PREFIX + event.step: event.why})
            case ExecutionFinished():
                self._finish(event, at)
            case ExecutionStarted() | StepProgress():
                pass

    def flush(self) -> None:
        self._runs.flush()

    def registration_run(self, group: str) -> str | None:
        """Return the run of the RegisterModel step that is registering into `group` now."""
        for step in self._steps.values():
            if step.step_type == "RegisterModel" and step.group == group and not step.closed:
                return step.run_id
        return None

    def _open_parent(self, started: ExecutionStarted, at: int) -> str:
        earlier = self._runs.find(execution_id=self._execution)
        parents = [run for run in earlier if tags.PARENT not in run.data.tags]
        if parents:
            parent = str(parents[0].info.run_id)
            self._runs.reopen(parent)
            children = [run for run in earlier if run.data.tags.get(tags.PARENT) == parent]
            finished = [run.data.tags for run in children if run.info.status == FINISHED]
            self._done_before = {labels[tags.STEP] for labels in finished if tags.STEP in labels}
            return parent
        labels = {tags.EXECUTION_ID: self._execution, tags.DEFINITION_DIGEST: started.definition_digest}
        parent = self._runs.create(self._execution, at, parent=None, labels=labels)
        self._runs.parameters(parent, started.parameters)
        for uri in self._datasets:
            self._runs.dataset(parent, uri)
        return parent

    def _open(self, step: str, step_type: str, at: int, labels: Mapping[str, str]) -> _Open:
        own = {tags.EXECUTION_ID: self._execution, tags.STEP: step, tags.STEP_TYPE: step_type, **labels}
        opened = _Open(self._runs.create(step, at, parent=self.parent, labels=own), step_type)
        self._steps[step] = opened
        return opened

    def _step(self, name: str, at: int, step_type: str = "") -> _Open:
        """Return the run of a step, opened now if no event announced it: not every kind of step starts."""
        return self._steps.get(name) or self._open(name, step_type, at, {})

    def _start(self, event: StepStarted, at: int) -> None:
        opened = self._open(event.step, event.step_type, at, {tags.REASON: event.reason})
        opened.group = str(event.arguments.get("ModelPackageGroupName", ""))
        training = event.arguments.get("TrainingJobDefinition") or {}
        hyperparameters = event.arguments.get("HyperParameters") or training.get("StaticHyperParameters") or {}
        self._runs.parameters(opened.run_id, hyperparameters)
        inputs = input_uris(event.arguments) or input_uris(training)
        self._runs.label(opened.run_id, {tags.INPUT_PREFIX + name: uri for name, uri in inputs.items()})
        read = [uri for uri in inputs.values() if uri in self._datasets]
        for uri in dict.fromkeys([*read, *dataset_uris(inputs)]):
            self._runs.dataset(opened.run_id, uri)

    def _reuse(self, event: StepReused, at: int) -> None:
        origin = event.execution_id_of_origin
        if origin == self._execution and event.step in self._done_before:
            return  # this execution was resumed: the step already has its run, from before the crash
        labels = {tags.REUSED_FROM: origin, tags.REASON: event.reason}
        opened = self._open(event.step, event.step_type, at, labels)
        first = self._runs.find(execution_id=origin, step=event.step)
        if first:
            self._runs.label(opened.run_id, {tags.REUSED_FROM_RUN: first[0].info.run_id})
        self._runs.metric(opened.run_id, "seconds_of_origin", event.seconds_of_origin, at)
        # Its files are where the first run shows them; its numbers make this execution comparable on its own.
        self._outputs(opened, event.result, at, files=False)
        self._close(opened, at, FINISHED)

    def _succeed(self, event: StepSucceeded, at: int) -> None:
        opened = self._step(event.step, at, event.step_type)
        self._runs.metric(opened.run_id, "seconds", event.seconds, at)
        self._outputs(opened, event.result, at, files=True)
        self._best_trial(opened, event.result.properties, at)
        self._runs.label(opened.run_id, {tags.MODEL_PACKAGE: event.result.properties.get("ModelPackageArn")})
        self._runs.log_file(opened.run_id, self._run_dir / "steps" / event.step / "log.txt")
        self._close(opened, at, FINISHED)

    def _fail(self, event: StepFailedEvent, at: int) -> None:
        opened = self._step(event.step, at)
        self._runs.label(opened.run_id, {tags.FAILURE: event.reason, tags.NOTE: event.reason})
        self._runs.label(opened.run_id, {tags.EXIT_CODE: event.exit_code})
        if event.log_path:
            self._runs.log_file(opened.run_id, event.log_path)
        for name, uri in event.uris.items():
            self._runs.files(opened.run_id, select_files(self._resolve(uri)), f"outputs/{name}")
        self._close(opened, at, FAILED)

    def _outputs(self, opened: _Open, result: StepResult, at: int, *, files: bool) -> None:
        left_out = 0
        for name, output in result.outputs.items():
            self._runs.label(opened.run_id, {tags.OUTPUT_PREFIX + name: f"{output.uri} {output.digest}".rstrip()})
            # A prefix that is shared may hold a million objects, and nothing in it is the step's.
            root = None if output.keys == () else self._resolve(output.uri)
            if root is None or not root.exists():
                continue
            chosen = select_files(root, output.keys)
            left_out += chosen.left_out
            if files:
                self._runs.files(opened.run_id, chosen, f"outputs/{name}")
            for path, _ in chosen.files:
                if path.name in METRIC_FILES:
                    for key, value in metrics_of(path).items():
                        self._runs.metric(opened.run_id, f"{path.stem}/{key}", value, at)
                        self._runs.metric(self.parent, f"{path.stem}/{key}", value, at)
        if left_out:
            self._runs.label(opened.run_id, {tags.FILES_LEFT_OUT: left_out})

    def _best_trial(self, opened: _Open, properties: Mapping[str, Any], at: int) -> None:
        best = properties.get("BestTrainingJob") or {}
        self._runs.label(opened.run_id, {tags.BEST_TRIAL: best.get("TrainingJobName")})
        objective = (best.get("FinalHyperParameterTuningJobObjectiveMetric") or {}).get("Value")
        if objective is not None:
            self._runs.metric(opened.run_id, "best_objective", float(objective), at)

    def _trial(self, step: str, trial: str, hyperparameters: Mapping[str, str], at: int) -> _Open:
        known = self._trials.get((step, trial))
        if known:
            return known
        labels = {tags.EXECUTION_ID: self._execution, tags.STEP: step, tags.TRIAL: trial}
        opened = _Open(self._runs.create(trial, at, parent=self._step(step, at).run_id, labels=labels))
        self._trials[step, trial] = opened
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
        folder = self._run_dir / "steps" / event.step / "trials" / event.trial_name
        self._runs.log_file(opened.run_id, folder / "log.txt")
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
        status = _EXECUTION_STATUS.get(event.status, FAILED)
        for opened in (*self._trials.values(), *self._steps.values()):
            if not opened.closed:  # a Condition has no end of its own; a stopped job has none either
                self._close(opened, at, FINISHED if status == FINISHED else KILLED)
        self._runs.metric(self.parent, "seconds", event.seconds, at)
        step = f" in {event.failed_step}" if event.failed_step else ""
        text = f"{event.status}{step}: {event.reason}" if event.reason else f"{event.status}{step}"
        self._runs.label(self.parent, {tags.NOTE: text, tags.FAILURE: event.reason})
        self._runs.close(self.parent, at, status)
