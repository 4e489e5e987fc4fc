"""Documents of any shape as rows of text."""

from collections.abc import Iterator, Mapping
from typing import Any

from steps.evaluate.report.model import Document

_DEPTH, _ITEMS, _ROWS = 4, 12, 80
_LONG = 1e4


def sections(value: Document) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return a document as (heading, rows): what it holds itself under "", then each of its parts."""
    own = {name: one for name, one in value.items() if not isinstance(one, Mapping)}
    parts = [(name, _rows(one)) for name, one in value.items() if isinstance(one, Mapping) and one]
    found = ([("", _rows(own))] if own else []) + [(name.replace("_", " "), rows) for name, rows in parts]
    return found[:_ITEMS]


def _rows(value: Document) -> list[tuple[str, str]]:
    """Return a document as (name, text), its parts named `a, b`; long lists and deep parts are cut short."""
    rows = list(_flat("", value, 0))
    return rows if len(rows) <= _ROWS else [*rows[:_ROWS], ("and more", f"{len(rows) - _ROWS} values")]


def _flat(name: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and depth < _DEPTH:
        for key, part in value.items():
            yield from _flat(f"{name}, {key}" if name else str(key), part, depth + 1)
    else:
        yield name.replace("_", " "), said(value)


def said(value: Any) -> str:
    """Return a value as a person reads it."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= _LONG else str(value)
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= _LONG else f"{value:.6g}"
    if isinstance(value, list | tuple):
        more = f" and {len(value) - _ITEMS} more" if len(value) > _ITEMS else ""
        return ", ".join(map(said, value[:_ITEMS])) + more
    return str(value)
