"""The pictures of refused rows, small: those that ValidateData made, else the batch's own file if it opens."""

from pathlib import Path

import pandas as pd

from steps.core.dataset.paths import Files, PathRefusedError
from steps.core.dataset.plan import FACTS, FACTS_FILE, INSPECTOR, Source
from steps.core.dataset.snapshot import parts_of
from steps.core.tiles.decode import ImageRefusedError, read_image
from steps.validate.image_facts import picture_of, read_pictures


class Pictures:
    """The screenshots of a snapshot; `bucket` is the folder that stands for the bucket."""

    def __init__(self, source: Source, bucket: Path) -> None:
        self._source, self._bucket = source, bucket
        batches = source.batches(bucket)
        self._listings = {batch.name: source.listing(bucket, batch) for batch in batches}
        self._files: dict[str, Files] = {}
        folders = (
            bucket / FACTS / INSPECTOR / part.digest for part in parts_of(batches, lambda b: self._listings[b.name])
        )
        self._facts = [folder for folder in folders if (folder / FACTS_FILE).is_file()]

    def screenshot(self, batch: str, source_ref: str, sha256: str) -> str:
        """Return the sha256 of the file that a refused row names: as it states it, else as its path does; or ""."""
        if sha256 or batch not in self._listings:
            return sha256
        path = self._path(batch, source_ref)
        return self._files[batch].sha256[path] if path else ""

    def of(self, rows: pd.DataFrame) -> dict[str, bytes]:
        """Return small JPEGs by sha256; rows: columns batch, source_ref, reason and `screenshot`, its sha256 or ""."""
        named = rows[rows["screenshot"] != ""]
        found = read_pictures(self._facts, named["screenshot"])
        # What did not open for ValidateData, where an image that kills its reader harms nobody, is not opened here.
        for row in named[named["reason"] != "image"].drop_duplicates("screenshot").itertuples():
            if row.screenshot not in found and (path := self._path(str(row.batch), str(row.source_ref))):
                data = _decoded(self._source.folder(self._bucket, str(row.batch)) / path)
                found |= {str(row.screenshot): data} if data else {}
        return found

    def _path(self, batch: str, source_ref: str) -> str:
        if batch not in self._listings:
            return ""
        files = self._files.setdefault(batch, Files.of(self._listings[batch]))
        try:
            return files.locate(source_ref)
        except PathRefusedError:
            return ""


def _decoded(file: Path) -> bytes:
    try:
        pixels, _ = read_image(file)
    except ImageRefusedError:
        return b""
    return picture_of(pixels)
