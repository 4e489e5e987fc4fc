"""The live table of a run on a terminal, drawn with rich: a row a step, a bar over all steps."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipelines.executor.definition import parse
from pipelines.executor.events import (
    Event,
    ExecutionFinished,
    ExecutionStarted,
    StepFailedEvent,
    StepProgress,
    StepReused,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    duration,
    line_of,
    step_words,
)

_STYLES = {
    "waiting": "dim",
    "running": "cyan",
    "done": "green",
    "reused": "blue",
    "skipped": "dim",
    "failed": "bold red",
}
_STATES: Mapping[type, str] = {
    StepStarted: "running",
    StepSucceeded: "done",
    StepReused: "reused",
    StepSkipped: "skipped",
    StepFailedEvent: "failed",
}


@dataclass(slots=True)
class _Row:
    state: str = "waiting"
    began: float = 0.0
    seconds: float = 0.0
    words: str = ""


class LiveTable:
    """Draws the events of one run until closed. The steps are those of the run's definition.json."""

    def __init__(self, run_dir: Path, stream: TextIO) -> None:
        document = json.loads((run_dir / "definition.json").read_text(encoding="utf-8"))
        self._rows = {name: _Row() for name in parse(document).steps}
        self._console = Console(file=stream)
        self._live = Live(
            console=self._console,
            get_renderable=self._draw,
            refresh_per_second=4,
            redirect_stderr=False,
            transient=False,
        )
        self._live.start()

    def show(self, event: Event) -> None:
        if isinstance(event, ExecutionStarted | ExecutionFinished):
            style = {"Failed": "bold red", "Succeeded": "bold green"}.get(getattr(event, "status", ""), "bold")
            if isinstance(event, ExecutionFinished):
                self._live.refresh()
            self._console.print(Text(line_of(event) or "", style))
            return
        row = self._rows[event.step]
        if state := _STATES.get(type(event)):
            row.state = state
            row.began = row.began or time.monotonic()
            row.seconds = time.monotonic() - row.began
        words = event.line if isinstance(event, StepProgress) else step_words(event)
        if words:
            # The state column says "done"; the last line of a job that is over adds nothing.
            row.words = (
                "" if isinstance(event, StepSucceeded) else words.removeprefix("FAILED: ").removeprefix("skipped: ")
            )

    def close(self) -> None:
        self._live.stop()

    def _draw(self) -> Group:
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(no_wrap=True, min_width=max(map(len, self._rows)))
        table.add_column(no_wrap=True, min_width=max(map(len, _STYLES)))
        table.add_column(no_wrap=True, min_width=len("59 min 59 s"), justify="right")
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for name, row in self._rows.items():
            seconds = time.monotonic() - row.began if row.state == "running" else row.seconds
            shown = duration(seconds) if row.state in {"running", "done", "failed"} else ""
            table.add_row(name, Text(row.state, _STYLES[row.state]), shown, Text(row.words, "dim"))
        ended = sum(row.state not in {"waiting", "running"} for row in self._rows.values())
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=len(self._rows), completed=ended, width=40), f"{ended} of {len(self._rows)} steps"
        )
        return Group(table, bar)
