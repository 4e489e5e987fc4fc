"""A page of refused rows: the picture where there is one, the reason, and what to type."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from steps.core.common.files import write_text
from steps.core.html import environment
from steps.core.html.album import Album
from steps.validate.rules import RULES

_PICTURES = 3_800_000  # characters
_ROWS_A_REASON = 60


def write_quarantine_page(
    path: Path,
    rows: pd.DataFrame,
    pictures: Mapping[str, bytes],
    *,
    classes: tuple[str, str],
    subject: str,
    commands: bool,
) -> None:
    """Write one self-contained HTML file, which runs no script and asks for nothing from outside.

    rows: the refused ones, with the columns of `quarantine.parquet` and `screenshot`, the sha256 of its file or "";
    pictures: small JPEGs by sha256; classes: names of the negative and the positive class; subject: which
    run; commands: whether the rows are in the catalogue, so that commands can mend them.
    """
    counts = {str(reason): int(total) for reason, total in rows["reason"].value_counts().items()}
    sections = [
        {
            "reason": reason,
            "title": RULES[reason].title,
            "remedy": RULES[reason].remedy,
            "total": total,
            "rows": rows[rows["reason"] == reason].head(_ROWS_A_REASON).to_dict("records"),
        }
        for reason, total in counts.items()
    ]
    templates = environment("pipelines.data", picture=Album(pictures, _PICTURES))
    page = templates.get_template("quarantine.html.j2").render(
        sections=sections,
        total=len(rows),
        subject=subject,
        classes=classes,
        commands=commands,
    )
    write_text(path, page)


def shown_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the page shows."""
    return rows[rows.groupby("reason").cumcount() < _ROWS_A_REASON]
