"""One trial of a tuning: a training job with proposed hyperparameters, run, stopped early, or found again."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.executor.cache import Cache, Record
from pipelines.executor.errors import StepFailed
from pipelines.executor.events import StepMetric, TrialFinished, TrialStarted
from pipelines.executor.files import read_json, write_json
from pipelines.executor.results import StoredOutput, outputs_as_json, outputs_from_json
from pipelines.executor.runner import Enough, Machine
from pipelines.executor.stopping import MedianRule
from pipelines.executor.training import Training, TrainingRequest

COMPLETED, STOPPED, FAILED = "Completed", "Stopped", "Failed"


@dataclass(frozen=True, slots=True)
class TrialMemory:
    """Where earlier trials may be found: the cache of the step's trials, None if caching is off; and the runs."""

    execution_id: str
    cache: Cache | None
    expire_seconds: float | None
    runs: Path


@dataclass(frozen=True, slots=True)
class Trial:
    """How one training job of the tuning ended. `kind` is that of the failure, for the step's RetryPolicies.

    `curves` are all values of each metric in order. The objective of a stopped one is the best that it had reached; it
    leaves no model.
    """

    name: str
    tuned: Mapping[str, str]
    metrics: Mapping[str, float]
    objective: float | None
    outputs: Mapping[str, StoredOutput]
    seconds: float
    status: str = COMPLETED
    curves: Mapping[str, Sequence[float]] | None = None
    reason: str | None = None
    exit_code: int | None = None
    kind: str = ""

    def curve(self, metric: str) -> Sequence[float]:
        return (self.curves or {}).get(metric) or ()


class Trials:
    """Runs the trials of one tuning; each may be run from a thread of its own."""

    def __init__(self, step: str, metric: str, *, maximize: bool, machine: Machine, memory: TrialMemory) -> None:
        self._step, self._metric, self._maximize = step, metric, maximize
        self._machine, self._memory = machine, memory

    def run(self, request: TrainingRequest, tuned: Mapping[str, str], folder: Path, rule: MedianRule) -> Trial:
        """Bring a trial to its end; a job that fails is a trial that failed. Raises RunStopped."""
        name, emit = request.job_name, self._machine.emit
        training = Training(replace(request, enough=self._enough(rule)), self._machine)
        emit(TrialStarted(self._step, name, tuned))
        trial = self._earlier(training, folder, name, tuned, rule)
        reused = trial is not None
        if trial is None:
            trial = self._train(training, folder, name, tuned, rule)
        else:
            curves = trial.curves or {}
            lines = max(map(len, curves.values()), default=0)
            for metric, curve in curves.items():
                # What a training prints later than the rest, such as a loss, it prints to its end.
                for index, value in enumerate(curve, lines - len(curve)):
                    emit(StepMetric(self._step, name, metric, value, index))
        write_json(folder / "result.json", _as_json(trial, training.components.key))
        told = (trial.metrics, trial.objective, trial.status, reused, trial.seconds, trial.reason)
        emit(TrialFinished(self._step, name, tuned, *told))
        return trial

    def _enough(self, rule: MedianRule) -> Enough:
        return lambda metric, curve: metric == self._metric and rule.stops_at(curve) is not None

    def _train(self, training: Training, folder: Path, name: str, tuned: Mapping[str, str], rule: MedianRule) -> Trial:
        began = time.monotonic()
        failed = Trial(name, tuned, {}, None, {}, 0.0, FAILED)
        try:
            outcome = training.run(folder)
        except StepFailed as error:
            seconds = time.monotonic() - began
            return replace(failed, seconds=seconds, reason=error.reason, exit_code=error.exit_code, kind=error.kind)
        seconds, details = time.monotonic() - began, outcome.details
        value = details["metrics"].get(self._metric)
        if value is None or not math.isfinite(value):
            found = "printed no" if value is None else f"printed {value} as its"
            reason = f"the job {found} {self._metric}: the objective must be a finite number in its log"
            return replace(failed, metrics=details["metrics"], outputs=outcome.outputs, seconds=seconds, reason=reason)
        record = Record(
            execution_id=self._memory.execution_id,
            created=time.time(),
            seconds=seconds,
            components=training.components.as_json(),
            properties={},
            outputs=outcome.outputs,
            details=details,
        )
        if self._memory.cache is not None:
            self._memory.cache.add(training.components, record)
        status = STOPPED if details["stopped"] else COMPLETED
        ended = Trial(
            name, tuned, details["metrics"], value, outcome.outputs, seconds, status, curves=details["curves"]
        )
        return self._judged(ended, rule) or ended

    def _judged(self, ended: Trial, rule: MedianRule) -> Trial | None:
        """Return a job that ended as the trial that it is under `rule`; None if it was stopped and now would go on.

        So it does not matter whether the job ran just now, or in an execution whose rule let it go on for longer.
        """
        curve = ended.curve(self._metric)
        at = rule.stops_at(curve)
        if at is None:
            return None if ended.status == STOPPED else ended
        curves = {metric: values[: at + 1] for metric, values in (ended.curves or {}).items()}
        reached = [value for value in curves[self._metric] if math.isfinite(value)]
        return replace(
            ended,
            metrics={metric: values[-1] for metric, values in curves.items()},
            objective=(max if self._maximize else min)(reached, default=None),
            outputs={},
            status=STOPPED if reached else FAILED,
            curves=curves,
            reason=(
                f"stopped early: value {at + 1} of {self._metric}, {curve[at]:g}, is worse than "
                f"{rule.threshold(at):g}, the median of what the earlier trials had reached on average by then"
            ),
        )

    def _earlier(
        self, training: Training, folder: Path, name: str, tuned: Mapping[str, str], rule: MedianRule
    ) -> Trial | None:
        """Return the trial as it ended in this execution before it was killed, or in an earlier execution."""
        document = read_json(folder / "result.json")
        if document is not None and document["key"] == training.components.key:
            trial = Trial(**{**document["trial"], "outputs": outputs_from_json(document["trial"]["outputs"])})
            # One that failed is tried again: the cause may have been the machine.
            whole = trial.curves is not None and all(
                self._machine.store.digest_or_empty(out.uri, out.keys) == out.digest for out in trial.outputs.values()
            )
            if whole and trial.objective is not None and (judged := self._judged(trial, rule)):
                return judged
        if self._memory.cache is None:
            return None
        record = self._memory.cache.find(training.components, self._memory.expire_seconds).record
        if record is None or "curves" not in record.details:
            return None
        metrics, curves = record.details["metrics"], record.details["curves"]
        status = STOPPED if record.details["stopped"] else COMPLETED
        ended = Trial(name, tuned, metrics, metrics[self._metric], record.outputs, record.seconds, status, curves)
        found = self._judged(ended, rule)
        if found is None:
            return None
        outputs = {}
        for key, output in found.outputs.items():
            uri = f"{training.output_uri}/{key}.tar.gz"
            if uri != output.uri:
                self._machine.store.link(output.uri, uri)
            outputs[key] = StoredOutput(uri, output.digest)
        return replace(found, outputs=outputs)


def _as_json(trial: Trial, key: str) -> dict[str, Any]:
    fields = {name: getattr(trial, name) for name in Trial.__slots__}
    return {"key": key, "trial": {**fields, "outputs": outputs_as_json(trial.outputs)}}
