"""The display of a run: a live table on a terminal, elsewhere a line for each thing that happens."""

import sys
import time
from typing import TYPE_CHECKING, TextIO

from pipelines.executor.events import (
    DECIDED_AT_ONCE,
    NAME_WIDTH,
    Event,
    ExecutionFinished,
    ExecutionStarted,
    StepProgress,
    StepStarted,
    StepSucceeded,
    line_of,
)

if TYPE_CHECKING:
    from pipelines.executor.live import LiveTable

_PROGRESS_SECONDS = 30.0


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
                self._write(f"{event.step:<{NAME_WIDTH}} ... {event.line}")
            return
        if isinstance(event, StepStarted) and event.step_type not in DECIDED_AT_ONCE:
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
