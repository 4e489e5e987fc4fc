"""Pieces: what the hosts of PreprocessTiles have cut, on its way into the tile store.

A piece is `<name>.tfrecord`, the tiles of some screenshots, and `<name>.parquet`, a row for each screenshot. Hosts
know neither parts nor each other: rows are named by the key of the image. Names come from the content, so that any
number of hosts, and a second attempt of one, write into one folder and replace nothing by anything else.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from steps.core.common.errors import UserError
from steps.core.common.files import replacing, unfinished
from steps.core.tiles.cutting import CutScreenshot
from steps.core.tiles.shards import append_record, read_record
from steps.core.tiles.tiling import plan_tiles

_SCREENSHOTS_PER_PIECE = 512
_COLUMNS = ["key", "width", "height", "offsets", "lengths", "sha256", "refusal", "image"]


def write_pieces(folder: Path, cuts: Iterable[tuple[str, CutScreenshot]]) -> None:
    """Write what a host has cut, given as (key of the image, its tiles); of nothing a piece without rows."""
    rest = iter(cuts)
    chunk = tuple(islice(rest, _SCREENSHOTS_PER_PIECE))
    # A prefix without any object would be no input for the next step.
    _write_piece(folder, chunk)
    while chunk := tuple(islice(rest, _SCREENSHOTS_PER_PIECE)):
        _write_piece(folder, chunk)


class Pieces:
    """All pieces in a folder."""

    def __init__(self, folder: Path) -> None:
        """Read the rows of all pieces; raises UserError if one is unreadable, or two disagree about an image."""
        self._folder = folder
        tables = [_read_rows(path) for path in sorted(folder.glob("*.parquet"))]
        if not tables:
            raise UserError(f"{folder} holds no pieces: run PreprocessTiles first")
        rows = pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)
        rows = rows.drop_duplicates(["key", "sha256"])
        if (twice := rows["key"].duplicated()).any():
            raise UserError(
                f"{rows.loc[twice, 'key'].iloc[0]} was cut twice, into different tiles: run PreprocessTiles again"
            )
        self._rows = rows.set_index("key")

    def cuts(self, keys: Sequence[str]) -> Iterator[CutScreenshot]:
        """Yield the tiles of some images in the order of their keys; raises UserError if one is missing or damaged."""
        missing = pd.Index(keys).difference(self._rows.index)
        if len(missing):
            raise UserError(
                f"{len(missing)} screenshots were not cut, {missing[0]} first: a host of PreprocessTiles did not get "
                "or not keep it; run PreprocessTiles again"
            )
        for row in self._rows.loc[list(keys)].itertuples():
            yield self._cut(row)

    def _cut(self, row: Any) -> CutScreenshot:
        shard = self._folder / f"{row.piece}.tfrecord"
        places = zip(row.offsets, row.lengths, strict=True)
        encoded = tuple(read_record(shard, int(at), int(length)) for at, length in places)
        if _digest(encoded) != row.sha256:
            raise UserError(f"{shard} is damaged: its tiles of {row.Index} are not those that were cut")
        plan = plan_tiles(row.width, row.height) if encoded else ()
        return CutScreenshot(plan, encoded, row.refusal, row.image)


def _write_piece(folder: Path, cuts: Sequence[tuple[str, CutScreenshot]]) -> None:
    rows = []
    with unfinished(folder) as beside:
        with beside.open("wb") as shard:
            for key, cut in cuts:
                offsets = [append_record(shard, data) for data in cut.encoded]
                rows.append(
                    {
                        "key": key,
                        "width": cut.plan[0].width if cut.plan else 0,
                        "height": cut.plan[0].height if cut.plan else 0,
                        "offsets": offsets,
                        "lengths": [len(data) for data in cut.encoded],
                        "sha256": _digest(cut.encoded),
                        "refusal": cut.refusal,
                        "image": cut.sha256,
                    }
                )
        name = "cut-" + hashlib.sha256("".join(f"{r['key']}\0{r['sha256']}\n" for r in rows).encode()).hexdigest()[:32]
        if rows:
            beside.replace(folder / f"{name}.tfrecord")
    # The rows last: without them the tiles are none.
    with replacing(folder / f"{name}.parquet") as table:
        pd.DataFrame(rows, columns=_COLUMNS).to_parquet(table, index=False)


def _read_rows(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path, columns=_COLUMNS).assign(piece=path.stem)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no readable index of a piece ({error}): run PreprocessTiles again") from None


def _digest(encoded: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for data in encoded:
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()
