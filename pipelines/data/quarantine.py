"""Refused rows for whoever mends them: as a table that is safe in a spreadsheet, and as a page with pictures."""

import csv
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pandas as pd

from steps.core.common.files import replacing, write_text
from steps.core.dataset.paths import Files, PathRefusedError
from steps.core.dataset.plan import FACTS, FACTS_FILE, INSPECTOR, Source
from steps.core.dataset.snapshot import parts_of
from steps.core.html import environment
from steps.core.html.album import Album
from steps.core.tiles.decode import ImageRefusedError, read_image
from steps.validate.image_facts import picture_of, read_pictures
from steps.validate.rules import RULES

# What a spreadsheet takes for a formula, https://owasp.org/www-community/attacks/CSV_Injection: full-width forms too.
_DANGEROUS = tuple("=+-@\t\r\n\uff0b\uff0d\uff1d\uff20")
_PICTURES = 3_800_000  # characters
_ROWS_A_REASON = 60


def write_csv(path: Path, rows: pd.DataFrame) -> None:
    """Write refused rows, text columns and `row`; a cell that a spreadsheet would run gets an apostrophe before it."""
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(rows.columns)
        writer.writerows([harmless(str(value)) for value in row] for row in rows.itertuples(index=False))


def harmless(cell: str) -> str:
    """Return a cell that every spreadsheet takes for text; those with a formula after spaces are taken for one too."""
    return f"'{cell}" if cell.startswith(_DANGEROUS) or cell.lstrip().startswith(_DANGEROUS) else cell


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
    shown = shown_rows(rows)
    sections = [
        {
            "reason": reason,
            "title": RULES[str(reason)].title,
            "remedy": RULES[str(reason)].remedy,
            "total": int(total),
            "rows": shown[shown["reason"] == reason].to_dict("records"),
        }
        for reason, total in rows["reason"].value_counts().items()
    ]
    template = environment("pipelines.data", picture=Album(pictures, _PICTURES)).get_template("quarantine.html.j2")
    page = template.render(sections=sections, total=len(rows), subject=subject, classes=classes, commands=commands)
    write_text(path, page)


def shown_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the page shows."""
    return rows[rows.groupby("reason").cumcount() < _ROWS_A_REASON]


class Pictures:
    """The screenshots of a snapshot; `bucket` is the folder that stands for the bucket."""

    def __init__(self, source: Source, bucket: Path) -> None:
        self._source, self._bucket = source, bucket
        batches = source.batches(bucket)
        listings = {batch.name: source.listing(bucket, batch) for batch in batches}
        self._files = {name: Files.of(listing) for name, listing in listings.items()}
        folders = (bucket / FACTS / INSPECTOR / part.digest for part in parts_of(batches, lambda b: listings[b.name]))
        self._facts = [folder for folder in folders if (folder / FACTS_FILE).is_file()]

    def screenshot(self, batch: str, source_ref: str, sha256: str) -> str:
        """Return the sha256 of the file that a refused row names: as it states it, else as its path does; or ""."""
        path = "" if sha256 else self._path(batch, source_ref)
        return self._files[batch].sha256[path] if path else sha256

    def of(self, rows: pd.DataFrame) -> dict[str, bytes]:
        """Return small JPEGs by sha256: those that ValidateData made, else of the batch's own file if it opens.

        rows: columns batch, source_ref, reason and `screenshot`, its sha256 or "".
        """
        named = rows[rows["screenshot"] != ""]
        found = read_pictures(self._facts, named["screenshot"])
        # What did not open for ValidateData, where an image that kills its reader harms nobody, is not opened here.
        for row in named[named["reason"] != "image"].drop_duplicates("screenshot").itertuples():
            if row.screenshot not in found and (path := self._path(str(row.batch), str(row.source_ref))):
                with suppress(ImageRefusedError):
                    pixels, _ = read_image(self._source.folder(self._bucket, str(row.batch)) / path)
                    found[str(row.screenshot)] = picture_of(pixels)
        return found

    def _path(self, batch: str, source_ref: str) -> str:
        try:
            return self._files[batch].locate(source_ref) if batch in self._files else ""
        except PathRefusedError:
            return ""
