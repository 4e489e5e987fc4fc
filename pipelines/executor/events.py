"""The events of a run, as values: the one channel to progress displays, trackers and tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.executor.results import StepResult


@dataclass(frozen=True, slots=True)
class ExecutionStarted:
    execution_id: str
    pipeline_name: str
    parameters: Mapping[str, str | int | float | bool]
    definition_digest: str
    run_dir: Path


@dataclass(frozen=True, slots=True)
class StepEvent:
    """What happens to the step of this name."""

    step: str


@dataclass(frozen=True, slots=True)
class StepStarted(StepEvent):
    """`reason` says why the step runs; `arguments` are evaluated: no reference is left in them."""

    step_type: str
    reason: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StepReused(StepEvent):
    step_type: str
    reason: str
    execution_id_of_origin: str
    result: StepResult
    seconds_of_origin: float


@dataclass(frozen=True, slots=True)
class StepProgress(StepEvent):
    """The newest line a job of the step printed, at most two a second."""

    line: str


@dataclass(frozen=True, slots=True)
class StepMetric(StepEvent):
    """One match of a MetricDefinitions regex; `index` counts the lines of that job that have a match, from 0.

    So metrics of one line lie on one place of the axis, of a training that prints a line an epoch on that of the epoch.
    """

    trial: str | None
    name: str
    value: float
    index: int


@dataclass(frozen=True, slots=True)
class TrialStarted(StepEvent):
    trial_name: str
    hyperparameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TrialFinished(StepEvent):
    """`status` is Completed, Stopped (early) or Failed; `objective` is None when the trial has none.

    `reason` says why it failed or was stopped.
    """

    trial_name: str
    hyperparameters: Mapping[str, str]
    metrics: Mapping[str, float]
    objective: float | None
    status: str
    reused: bool
    seconds: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class StepRetried(StepEvent):
    """`attempt` is the number of the attempt that follows (2 is the first retry), `of` the most there may be."""

    attempt: int
    of: int
    reason: str
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class StepSucceeded(StepEvent):
    step_type: str
    result: StepResult
    seconds: float


@dataclass(frozen=True, slots=True)
class StepFailedEvent(StepEvent):
    reason: str
    exit_code: int | None
    log_path: Path | None
    uris: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepSkipped(StepEvent):
    why: str


@dataclass(frozen=True, slots=True)
class ConditionDecided(StepEvent):
    outcome: bool
    text: str


@dataclass(frozen=True, slots=True)
class ExecutionFinished:
    """`status` is Succeeded, Failed or Stopped."""

    status: str
    failed_step: str | None
    reason: str | None
    seconds: float


Event = ExecutionStarted | StepEvent | ExecutionFinished
Listener = Callable[[Event], None]
