"""The report's tables as files that a spreadsheet opens."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steps.core.common.files import replacing
from steps.core.html.text import short
from steps.evaluate.report.documents import document, figure
from steps.evaluate.report.views import Slice, Variant

_LONGEST = 600
_RATE = ("count", "trials", "value", "lower", "upper")


def write_slices(path: Path, slices: Sequence[Slice]) -> None:
    """Write a row for each slice: its rates with their counts and bounds, and what came of it."""
    header = ["column", "value", "status", "note"]
    header += [f"{rate}_{name}" for rate in ("fpr", "tpr") for name in _RATE]
    rows = [
        [
            s.column,
            s.value,
            s.status,
            s.note,
            *(_value(rate, name) for rate in (s.fpr, s.tpr) for name in _RATE),
        ]
        for s in slices
    ]
    _write(path, header, rows)


def write_variants(path: Path, variants: Sequence[Variant]) -> None:
    """Write a row for each TFLite variant, in bytes, milliseconds and shares between 0 and 1."""
    header = ["name", "passed", "chosen", "bytes", "compressed_bytes", "latency_ms", "flipped", "threshold"]
    header += ["fpr", "fpr_upper", "tpr", "tpr_lower", "min_runtime_version", "operators", "reason"]
    rows = [
        [
            *(v.name, v.passed, v.chosen, v.bytes, v.compressed, v.latency, v.flipped, v.threshold),
            *(v.fpr, v.fpr_upper, v.tpr, v.tpr_lower),
            *(v.runtime, " ".join(v.operators), v.reason),
        ]
        for v in variants
    ]
    _write(path, header, rows)


def _value(rate: Any, name: str) -> float | None:
    return figure(document(rate).get(name))


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: Any) -> Any:
    """Return what is written; a stranger's text that a spreadsheet would run as a formula is quoted."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        text = short(value, _LONGEST)
        return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
    return value
