"""Refused rows as a CSV for whoever labels: safe to open in a spreadsheet."""

import csv
from pathlib import Path

import pandas as pd

from steps.core.common.files import replacing

# What a spreadsheet takes for a formula, https://owasp.org/www-community/attacks/CSV_Injection: full-width forms too.
_DANGEROUS = tuple("=+-@\t\r\n\uff0b\uff0d\uff1d\uff20")


def write_csv(path: Path, rows: pd.DataFrame) -> None:
    """Write refused rows, text columns and `row`; a cell that a spreadsheet would run gets an apostrophe before it."""
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(rows.columns)
        writer.writerows([harmless(str(value)) for value in row] for row in rows.itertuples(index=False))


def harmless(cell: str) -> str:
    """Return a cell that every spreadsheet takes for text; those with a formula after spaces are taken for one too."""
    return f"'{cell}" if cell.startswith(_DANGEROUS) or cell.lstrip().startswith(_DANGEROUS) else cell
