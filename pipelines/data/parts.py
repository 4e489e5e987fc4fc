"""The parts of snapshots, read once by whoever asks for those of several."""

import re
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.storage.bulk import Mirror, at_once
from pipelines.storage.protocol import NoSuchObject
from steps.core.common.errors import UserError
from steps.core.dataset.plan import Source
from steps.core.dataset.snapshot import REFERENCE, Batch, Part, parts_of

if TYPE_CHECKING:
    import pandas as pd

_SHA256 = re.compile("[0-9a-f]{64}")


class Parts:
    """`mirror` brings the listings of batches. An earlier snapshot costs nothing once a later one is known."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._kept: list[tuple[list[Batch], list[Part]]] = []

    def of(self, source: Source, batches: Sequence[Batch], *, to_cut: bool = False) -> list[Part]:
        """Return the parts of a snapshot, with `to_cut` of those batches alone that may be learned from.

        Raises UserError if a listing is not there, or cannot be read.
        """
        wanted = sorted(batch for batch in batches if not (to_cut and batch.kind == REFERENCE))
        names = {batch.name for batch in wanted}
        for kept, parts in self._kept:
            if kept[: len(wanted)] == wanted:
                return [part for part in parts if part.batch in names]
        try:
            deque(at_once(self._mirror.fetch, map(source.listing_key, wanted)), maxlen=0)
        except NoSuchObject as error:
            raise UserError(f"the listing of a batch is gone ({error}): restore it") from None
        parts = parts_of(wanted, lambda batch: self._listing(source, batch))
        self._kept.append((wanted, parts))
        return parts

    def _listing(self, source: Source, batch: Batch) -> "pd.DataFrame":
        key = source.listing_key(batch)
        try:
            listing: pd.DataFrame = source.listing(self._mirror.folder, batch)
        except UserError as error:
            raise UserError(f"{key}: the listing of a batch cannot be read: restore it") from error
        if not all(isinstance(sha256, str) and _SHA256.fullmatch(sha256) for sha256 in listing["sha256"]):
            raise UserError(f"{key} lists what is no sha256: restore the listing")
        return listing
