"""The report's table of slices as a file that a spreadsheet opens."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steps.core.common.files import replacing
from steps.core.html.text import short
from steps.evaluate.report.documents import document, figure

_LONGEST = 600
_TEXTS = ("column", "value", "status", "note")
_RATE = ("count", "trials", "value", "lower", "upper")


def write_slices(path: Path, slices: Sequence[Mapping[str, Any]]) -> None:
    """Write a row for each slice: its rates with their counts and bounds, and what came of it."""
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*_TEXTS, *(f"{rate}_{name}" for rate in ("fpr", "tpr") for name in _RATE)])
        for row in slices:
            numbers = [_number(document(row[rate]).get(name)) for rate in ("fpr", "tpr") for name in _RATE]
            writer.writerow([*(_cell(row[name]) for name in _TEXTS), *numbers])


def _number(value: Any) -> float | int | None:
    number = figure(value)
    return int(number) if number is not None and number.is_integer() else number


def _cell(value: str) -> str:
    """Return a text as it is written; a stranger's that a spreadsheet would run as a formula is quoted."""
    text = short(value, _LONGEST)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
