"""The display of a run: a live table on a terminal, elsewhere a line for each thing that happens."""

import sys
import time
from typing import TYPE_CHECKING, TextIO

from pipelines.executor.events import (
    ConditionDecided,
    Event,
    ExecutionFinished,
    ExecutionStarted,
    StepFailedEvent,
    StepProgress,
    StepRetried,
    StepReused,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    TrialFinished,
)

if TYPE_CHECKING:
    from pipelines.executor.live import LiveTable

_PROGRESS_SECONDS = 30.0
_NAME_WIDTH = 22
_SECONDS_A_MINUTE = 60
_DECIDED_AT_ONCE = {"Condition", "Fail"}


class ConsoleProgress:
    """A listener that writes to `stream`. `close` takes the live table off the terminal; the end of a run does too."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._live: LiveTable | None = None
        self._progress_at = time.monotonic()
        self._reasons: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, ExecutionStarted) and self._stream.isatty():
            from pipelines.executor.live import LiveTable

            self._live = LiveTable(event.run_dir, self._stream)
        if self._live is not None:
            self._live.show(event)
        if isinstance(event, ExecutionFinished):
            self.close()
        if isinstance(event, StepProgress):
            if self._live is None and time.monotonic() - self._progress_at >= _PROGRESS_SECONDS:
                self._progress_at = time.monotonic()
                self._write(f"{event.step:<{_NAME_WIDTH}} ... {event.line}")
            return
        if isinstance(event, StepStarted) and event.step_type not in _DECIDED_AT_ONCE:
            self._reasons[event.step] = event.reason  # written when it has ended: one line a step
            return
        # The table shows how the steps stand; what stays on the terminal is the beginning and the end.
        if self._live is None and (line := line_of(event)):
            why = self._reasons.pop(event.step, "") if isinstance(event, StepSucceeded) else ""
            self._write(f"{line}: {why}" if why else line)

    def close(self) -> None:
        if self._live is not None:
            self._live.close()
            self._live = None

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


def line_of(event: Event) -> str | None:
    """Return an event in one line, None for one without a line of its own."""
    if isinstance(event, ExecutionStarted):
        return f"run {event.execution_id} of {event.pipeline_name} in {event.run_dir}"
    if isinstance(event, ExecutionFinished):
        return f"{event.status} in {duration(event.seconds)}" + (
            f": {event.failed_step or 'run'}: {event.reason}" if event.reason else ""
        )
    words = step_words(event)
    return f"{event.step:<{_NAME_WIDTH}} {words}" if words else None


def step_words(event: Event) -> str | None:  # noqa: PLR0911 (one answer for each kind of event)
    """Return what happened to a step, without its name; None for what another event says."""
    match event:
        case StepStarted() | StepSucceeded() if event.step_type in _DECIDED_AT_ONCE:
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
