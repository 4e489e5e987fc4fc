"""What commands print: JSON for scripts, and tables that follow the terminal's width."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
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


def print_table(rows: Sequence[Mapping[str, str]], width: int | None = None) -> None:
    """Print rows of one form in columns, without those that are empty; rows that are too wide go on below."""
    names = [name for name in (rows[0] if rows else ()) if any(row[name] for row in rows)]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    for row in [{name: name for name in names}, *rows]:
        cells = [f"{row[name]:<{widths[name]}}" for name in names]
        for line in _folded(cells, width or terminal_width()):
            click.echo(line.rstrip())


def _folded(cells: Sequence[str], width: int | None) -> Iterator[str]:
    line = ""
    for cell in cells:
        joined = f"{line}{_GAP}{cell}" if line else cell
        if width is None or len(joined.rstrip()) <= width:
            line = joined
            continue
        if line:
            yield line
            line = _INDENT
        text = line + cell.strip()
        while len(text) > width and (cut := text.rfind(" ", len(_INDENT) + 1, width + 1)) > 0:
            yield text[:cut]
            text = _INDENT + text[cut + 1 :]
        line = text
    yield line
