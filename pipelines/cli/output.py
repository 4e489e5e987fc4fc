"""The output of commands: JSON for scripts, tables that follow the terminal's width, and progress."""

import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TextIO

import click

Columns = Mapping[str, Callable[[Any], str]]
_GAP, _INDENT = "  ", "    "
_BAR_SECONDS, _LINE_SECONDS = 0.1, 10.0
_BAR_WIDTH = 30


def print_json(value: Any) -> None:
    """Print strict JSON, in the order in which the fields come; times are ISO 8601, paths text."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=_plain))


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def percent(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.2%}"


def terminal_width() -> int | None:
    """Return how many columns the terminal has; None where the output goes elsewhere, and nothing is folded."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def open_page(url: str) -> None:
    """Open a page for the person at the terminal, where a window can open: a browser in the terminal is none."""
    windows = sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if windows and sys.stdout.isatty():
        click.launch(url)


def print_table(documents: Iterable[Any], columns: Columns) -> None:
    """Print a row for each document, without columns that are empty; where it is too narrow, a paragraph for each."""
    rows = [{name: cell(document) for name, cell in columns.items()} for document in documents]
    names = [name for name in columns if any(row[name] for row in rows)]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    width = terminal_width()
    if width is None or sum(widths.values()) + len(_GAP) * (len(names) - 1) <= width:
        for row in [{name: name for name in names}, *rows]:
            click.echo(_GAP.join(f"{row[name]:<{widths[name]}}" for name in names).rstrip())
        return
    for row in rows:
        first, *others = [row[name] if name == names[0] else f"{name} {row[name]}" for name in names if row[name]]
        for line in (first, *textwrap.wrap("; ".join(others), width - len(_INDENT), break_on_hyphens=False)):
            click.echo(line if line is first else _INDENT + line)


class FileProgress:
    """A `pipelines.data.source.Progress`: a bar on a terminal, elsewhere a line now and then.

    It writes nothing if it all takes but a moment. A total of 0 is one that nobody knows.
    """

    def __init__(self, stream: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream or sys.stdout, clock
        self._terminal = self._stream.isatty()
        self._written = self._clock()
        self._shown = ""

    def __call__(self, verb: str, done: int, total: int) -> None:
        words = f"{verb} {done:,} of {total:,} files" if total else f"{verb} {done:,} files"
        ends = done == total and bool(self._shown)
        if not ends and self._clock() - self._written < (_BAR_SECONDS if self._terminal else _LINE_SECONDS):
            return
        self._written = self._clock()
        if self._terminal:
            filled = _BAR_WIDTH * done // total if total else 0
            words = f"{'█' * filled}{'░' * (_BAR_WIDTH - filled)} {words}"
            self._stream.write(f"\r{words:<{len(self._shown)}}" + ("\n" if ends else ""))
        else:
            self._stream.write(words + "\n")
        self._shown = "" if ends else words
        self._stream.flush()
