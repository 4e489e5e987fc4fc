"""The schema of labelled rows, declared once and checked a column at a time."""

from typing import Any, NamedTuple

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

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


def _matching(pattern: str, wanted: str) -> pa.Check:
    return pa.Check(lambda values: values.str.fullmatch(pattern), error=wanted)


def _text(most: int, *, least: int = 0) -> pa.Check:
    return pa.Check(
        lambda values: values.str.len().between(least, most), error=f"a text of {least} to {most:,} characters"
    )


def _is_share(values: pd.Series) -> pd.Series:
    return pd.to_numeric(values, errors="coerce").between(0, 1)


def _is_time(values: pd.Series) -> pd.Series:
    """Tell ISO 8601 dates and times: `2026-11-23`, `2026-11-23T21:48:33Z`, `2026-11-23 21:48:33.5+01:00`."""
    # pandas alone would also take 2026, 20261123 and W-forms, which two readers may read in two ways.
    form = values.str.fullmatch(f"{_DATE}([T ]{_TIME}({_ZONE})?)?")
    # Times of one column may lie in several zones; only together in UTC do they have one dtype.
    return pd.to_datetime(values.where(form), format="ISO8601", errors="coerce", utc=True).notna()


def _slice(name: str, check: pa.Check) -> dict[str, pa.Column]:
    return {SLICE_PREFIX + name: pa.Column(str, check, nullable=True, required=False)}


ROWS = pa.DataFrameSchema(
    {
        "row": pa.Column(int, pa.Check.ge(1, error="a number from 1")),
        "source_ref": pa.Column(str, _text(MAX_PATH_CHARACTERS, least=1)),
        # A decision that only waives rules has no label; whether one is there is settled where rows are read.
        "label": pa.Column(None, pa.Check.isin((0, 1), error="0 or 1"), nullable=True),
        "by": pa.Column(str, _text(MAX_TEXT_CHARACTERS), nullable=True),
        "reason": pa.Column(str, _text(MAX_REASON_CHARACTERS), nullable=True),
        **_slice("sha256", _matching(_SHA256, "64 hexadecimal digits")),
        **_slice("width", _matching(_POSITIVE, "a whole number of pixels above 0")),
        **_slice("height", _matching(_POSITIVE, "a whole number of pixels above 0")),
        **_slice("captured-at", pa.Check(_is_time, error="an ISO 8601 date or time such as 2026-11-23T21:48:33Z")),
        **_slice("confidence", pa.Check(_is_share, error="a number from 0 to 1")),
        **{name: column for text in TEXT_COLUMNS for name, column in _slice(text, _text(MAX_TEXT_CHARACTERS)).items()},
    }
)


def check_rows(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Failure]]:
    """Return the rows that satisfy the schema, and every value for which one does not, in the order of the rows.

    `frame` has the columns of `steps.core.dataset.rows` and a unique index, which the returned rows keep.
    """
    try:
        ROWS.validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        if cases["index"].isna().any():
            raise  # a column is missing or of another dtype: the caller's mistake, not the data's
        cases = cases.sort_values("index", kind="stable")
        columns = (cases[name].tolist() for name in ("index", "column", "failure_case", "check"))
        return frame.drop(index=cases["index"].unique()), [Failure(*case) for case in zip(*columns, strict=True)]
    return frame, []
