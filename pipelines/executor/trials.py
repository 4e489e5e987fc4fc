"""The trials of a tuning: training jobs with proposed hyperparameters, run, stopped early, or found again."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.executor.cache import Cache
from pipelines.executor.errors import ALGORITHM_ERROR, StepFailed, failures_of
from pipelines.executor.events import StepMetric, TrialFinished, TrialStarted
from pipelines.executor.results import Outcome, StoredOutput
from pipelines.executor.runner import Machine
from pipelines.executor.stopping import MedianRule
from pipelines.executor.training import Training

COMPLETED, STOPPED, FAILED = "Completed", "Stopped", "Failed"


@dataclass(frozen=True, slots=True)
class Trial:
    """How one training job of the tuning ended. `kind` is that of the failure, for the step's RetryPolicies.

    `curves` are all values of each metric in order. The objective of a stopped one is the best that it had reached; it
    leaves no model.
    """

    name: str
    tuned: Mapping[str, str]
    status: str = FAILED
    seconds: float = 0.0
    objective: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    outputs: Mapping[str, StoredOutput] = field(default_factory=dict)
    reason: str | None = None
    exit_code: int | None = None
    kind: str = ALGORITHM_ERROR


@dataclass(frozen=True, slots=True)
class Trials:
    """Runs the trials of one tuning, which `cache` remembers; each may be run from a thread of its own."""

    machine: Machine
    step: str
    metric: str
    cache: Cache

    def run(self, training: Training, trial: Trial, folder: Path, rule: MedianRule) -> Trial:
        """Bring a trial to its end; a job that fails is a trial that failed. Raises RunStopped."""
        name, tuned, emit = trial.name, trial.tuned, self.machine.emit
        emit(TrialStarted(self.step, name, tuned))
        earlier = self._earlier(training, trial, rule)
        trial = earlier or self._train(training, trial, folder, rule)
        if earlier is not None:
            lines = max(map(len, trial.curves.values()), default=0)
            for metric, curve in trial.curves.items():
                # What a training prints later than the rest, such as a loss, it prints to its end.
                for index, value in enumerate(curve, lines - len(curve)):
                    emit(StepMetric(self.step, name, metric, value, index))
        emit(
            TrialFinished(
                self.step,
                name,
                tuned,
                metrics=trial.metrics,
                objective=trial.objective,
                status=trial.status,
                reused=earlier is not None,
                seconds=trial.seconds,
                reason=trial.reason,
            )
        )
        return trial

    def _train(self, training: Training, trial: Trial, folder: Path, rule: MedianRule) -> Trial:
        began = time.monotonic()
        try:
            with failures_of(self.step):
                outcome = training.run(folder)
        except StepFailed as error:
            trial = replace(trial, reason=error.reason, exit_code=error.exit_code, kind=error.kind)
            return replace(trial, seconds=time.monotonic() - began)
        trial = replace(trial, seconds=time.monotonic() - began, metrics=outcome.details["metrics"])
        value = trial.metrics.get(self.metric)
        if value is None or not math.isfinite(value):
            found = "printed no" if value is None else f"printed {value} as its"
            reason = f"the job {found} {self.metric}: the objective must be a finite number in its log"
            return replace(trial, reason=reason)
        self.cache.add(training.components, outcome, trial.seconds)
        return self._ended(trial, outcome, rule)

    def _earlier(self, training: Training, trial: Trial, rule: MedianRule) -> Trial | None:
        """Return the trial as it ended in an earlier execution, or in this one before it was killed."""
        record, _ = self.cache.find(training.components)
        if record is None:
            return None
        if record.details["stopped"] and rule.stops_at(record.details["curves"][self.metric]) is None:
            return None  # now it would go on
        return self._ended(replace(trial, seconds=record.seconds), record, rule)

    def _ended(self, trial: Trial, outcome: Outcome, rule: MedianRule) -> Trial:
        """Return a trial whose job ended with `outcome` as it is under `rule`.

        So it does not matter whether the job ran just now, or in an execution whose rule let it go on for longer.
        """
        curves, metrics = outcome.details["curves"], outcome.details["metrics"]
        curve = curves[self.metric]
        at = rule.stops_at(curve)
        if at is None:
            end = {"objective": metrics[self.metric], "metrics": metrics, "curves": curves, "outputs": outcome.outputs}
            return replace(trial, status=COMPLETED, **end)
        curves = {metric: values[: at + 1] for metric, values in curves.items()}
        reached = [value for value in curves[self.metric] if math.isfinite(value)]
        return replace(
            trial,
            status=STOPPED if reached else FAILED,
            objective=max(reached, default=None),
            metrics={metric: values[-1] for metric, values in curves.items()},
            curves=curves,
            reason=(
                f"stopped early: value {at + 1} of {self.metric}, {curve[at]:g}, is worse than "
                f"{rule.threshold(at):g}, the median of what the earlier trials had reached on average by then"
            ),
        )
