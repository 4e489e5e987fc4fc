"""The schema of labelled rows, declared once and checked a column at a time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pandas as pd

from steps.core.dataset.paths import MAX_PATH_CHARACTERS
from steps.core.dataset.tables import SLICE_PREFIX

MAX_TEXT_CHARACTERS = 200
MAX_REASON_CHARACTERS = 2_000
# Known columns of free text; columns that nobody knows only have the bounds of any field.
TEXT_COLUMNS = ("app", "device", "group", "locale", "os", "session", "source", "theme")
_SHA256 = r"[0-9a-fA-F]{64}"
_POSITIVE = r"0*[1-9][0-9]{0,8}(\.0+)?"  # pandas writes whole numbers as 1080.0 where some are missing
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
_ZONE = r"Z|[+-][0-9]{2}(:?[0-9]{2})?"


class Failure(NamedTuple):
    """A value that its column may not hold: `index` is the row's in the frame, `wanted` says what is."""

    index: Any
    column: str
    value: Any
    wanted: str


class _Column(NamedTuple):
    """What a column may hold: `check` returns a truth value for each value, `wanted` says it in words."""

    check: Callable[[pd.Series], pd.Series]
    wanted: str


def _matching(pattern: str, wanted: str) -> _Column:
    return _Column(lambda values: values.str.fullmatch(pattern), wanted)


def _text(most: int, *, least: int = 0) -> _Column:
    return _Column(lambda values: values.str.len().between(least, most), f"a text of {least} to {most:,} characters")


def _is_share(values: pd.Series) -> pd.Series:
    return pd.to_numeric(values, errors="coerce").between(0, 1)


def _is_time(values: pd.Series) -> pd.Series:
    """Tell ISO 8601 dates and times: `2026-11-23`, `2026-11-23T21:48:33Z`, `2026-11-23 21:48:33.5+01:00`."""
    # pandas alone would also take 2026, 20261123 and W-forms, which two readers may read in two ways.
    form = values.str.fullmatch(f"{_DATE}([T ]{_TIME}({_ZONE})?)?")
    # Times of one column may lie in several zones; only together in UTC do they have one dtype.
    return pd.to_datetime(values.where(form), format="ISO8601", errors="coerce", utc=True).notna()


_ROW = {
    "row": _Column(lambda values: values >= 1, "a number from 1"),
    "source_ref": _text(MAX_PATH_CHARACTERS, least=1),
    # A decision that only waives rules has no label; whether one is there is settled where rows are read.
    "label": _Column(lambda values: values.isin((0, 1)), "0 or 1"),
    "by": _text(MAX_TEXT_CHARACTERS),
    "reason": _text(MAX_REASON_CHARACTERS),
}
_SLICES = {
    "sha256": _matching(_SHA256, "64 hexadecimal digits"),
    "width": _matching(_POSITIVE, "a whole number of pixels above 0"),
    "height": _matching(_POSITIVE, "a whole number of pixels above 0"),
    "captured-at": _Column(_is_time, "an ISO 8601 date or time such as 2026-11-23T21:48:33Z"),
    "confidence": _Column(_is_share, "a number from 0 to 1"),
    **{name: _text(MAX_TEXT_CHARACTERS) for name in TEXT_COLUMNS},
}


def check_rows(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Failure]]:
    """Return the rows that satisfy the schema, and every value for which one does not, in the order of the rows.

    `frame` has the columns of `steps.core.dataset.rows` and a unique index, which the returned rows keep.
    """
    slices = {SLICE_PREFIX + name: column for name, column in _SLICES.items() if SLICE_PREFIX + name in frame}
    failures: list[Failure] = []
    for name, column in (_ROW | slices).items():
        # Any value may be missing but the path, and the row's number, which always is there.
        values = frame[name] if name == "source_ref" else frame[name].dropna()
        bad = values[~column.check(values)]
        failures += (Failure(index, name, value, column.wanted) for index, value in bad.items())
    failures.sort(key=lambda failure: failure.index)
    return frame.drop(index=[failure.index for failure in failures]) if failures else frame, failures
