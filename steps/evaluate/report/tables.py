"""The report's table of slices as a file that a spreadsheet opens."""

import csv
from collections.abc import Sequence
from pathlib import Path

from steps.core.common.files import replacing
from steps.core.gate.slices import Slice
from steps.core.html.text import short

_LONGEST = 600
_RATE = ("count", "trials", "value", "lower", "upper")


def write_slices(path: Path, slices: Sequence[Slice]) -> None:
    """Write a row for each slice: its rates with their counts and bounds, and what came of it."""
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        rates = [f"{rate}_{name}" for rate in ("fpr", "tpr") for name in _RATE]
        writer.writerow(["column", "value", "status", "note", *rates])
        for part in slices:
            texts = map(_cell, (part.column, part.value, str(part.status), part.note))
            writer.writerow([*texts, *(getattr(rate, name, None) for rate in (part.fpr, part.tpr) for name in _RATE)])


def _cell(value: str) -> str:
    """Return a text as it is written; a stranger's that a spreadsheet would run as a formula is quoted."""
    text = short(value, _LONGEST)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
