"""The events of a run, as values and in words: the one channel to progress displays, trackers and tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.executor.results import StepResult

NAME_WIDTH = 22
_SECONDS_A_MINUTE = 60
DECIDED_AT_ONCE = {"Condition", "Fail"}


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


def line_of(event: Event) -> str | None:
    """Return an event in one line, None for one without a line of its own."""
    if isinstance(event, ExecutionStarted):
        return f"run {event.execution_id} of {event.pipeline_name} in {event.run_dir}"
    if isinstance(event, ExecutionFinished):
        return f"{event.status} in {duration(event.seconds)}" + (
            f": {event.failed_step or 'run'}: {event.reason}" if event.reason else ""
        )
    words = step_words(event)
    return f"{event.step:<{NAME_WIDTH}} {words}" if words else None


def step_words(event: Event) -> str | None:  # noqa: PLR0911 (one answer for each kind of event)
    """Return what happened to a step, without its name; None for what another event says."""
    match event:
        case StepStarted() | StepSucceeded() if event.step_type in DECIDED_AT_ONCE:
            return None
        case StepStarted():
            return f"runs: {event.reason}"
        case StepReused():
            origin = event.execution_id_of_origin
            return f"reused from {origin} ({duration(event.seconds_of_origin)} there): {event.reason}"
        case StepSucceeded():
            return f"done in {duration(event.seconds)}"
        case ConditionDecided():
            return f"{'passed' if event.outcome else 'not passed'}: {event.text}"
        case StepRetried():
            return f"attempt {event.attempt} of {event.of} in {duration(event.wait_seconds)}: {event.reason}"
        case StepFailedEvent():
            return f"FAILED: {event.reason}" + (f" (log: {event.log_path})" if event.log_path else "")
        case StepSkipped():
            return f"skipped: {event.why}"
        case TrialFinished():
            return trial_words(event)
    return None


def trial_words(event: TrialFinished) -> str:
    """Return a trial in one line: its number, how it ended and what it tried."""
    number = event.trial_name.rpartition("-")[2]
    tried = ", ".join(f"{name} {value}" for name, value in event.hyperparameters.items())
    if event.objective is None:
        return f"trial {number} failed: {event.reason} ({tried})"
    how = "reused" if event.reused else duration(event.seconds)
    how += ", stopped early" if event.status == "Stopped" else ""
    return f"trial {number}: {event.objective:g} ({how}; {tried})"


def duration(seconds: float) -> str:
    """Write seconds as people read them."""
    if seconds < _SECONDS_A_MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _SECONDS_A_MINUTE)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
