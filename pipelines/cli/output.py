"""What commands print: JSON for scripts, and tables that follow the terminal's width."""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
_GAP, _INDENT = "  ", "    "


def json_option(command: Command) -> Command:
    """Add `--json`, passed as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for scripts.")(command)


def print_json(value: Any) -> None:
    """Print strict JSON, in the order in which the fields come."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str))


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


def print_table(rows: Sequence[Mapping[str, str]]) -> None:
    """Print rows of one form in columns, without those that are empty; where it is too narrow, a paragraph for each."""
    names = [name for name in (rows[0] if rows else ()) if any(row[name] for row in rows)]
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
