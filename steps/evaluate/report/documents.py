"""Reading documents of other steps without trusting their shape, and showing any of them as rows of text."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from steps.evaluate.report.model import Document

_DEPTH, _ITEMS, _ROWS = 4, 12, 80
_LONG = 1e4


def document(value: Any) -> Document:
    """Return a document, an empty one if it is none."""
    return value if isinstance(value, Mapping) else {}


def figure(value: Any) -> float | None:
    """Return a finite number, else None."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None


def sections(value: Document) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return a document as (heading, rows): what it holds itself under "", then each of its parts."""
    own = {name: one for name, one in value.items() if not isinstance(one, Mapping)}
    parts = [(name, flat(one)) for name, one in value.items() if isinstance(one, Mapping) and one]
    found = ([("", flat(own))] if own else []) + [(name.replace("_", " "), rows) for name, rows in parts]
    return found[:_ITEMS]


def flat(value: Document) -> list[tuple[str, str]]:
    """Return a document as (name, text), its parts named `a, b`; long lists and deep parts are cut short."""
    rows = list(_flat("", value, 0))
    return rows if len(rows) <= _ROWS else [*rows[:_ROWS], ("and more", f"{len(rows) - _ROWS} values")]


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


def _flat(name: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and depth < _DEPTH:
        for key, part in value.items():
            yield from _flat(f"{name}, {key}" if name else str(key), part, depth + 1)
    else:
        yield name.replace("_", " "), said(value)
