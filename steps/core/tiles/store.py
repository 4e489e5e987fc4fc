"""The tile store: what was cut once is never cut again.

`<spec>/<part>/` holds the tiles of one part of the labelled data under one preprocessing spec: shards named by their
own content, and `tiles.parquet`, which says where each tile lies. Tiles know nothing of labels and verdicts, so every
readable image of a part is cut, whatever validation makes of it.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import pandas as pd

from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file, unfinished
from steps.core.dataset.plan import FEATURES_MANIFEST, SHARDS_MANIFEST, write_manifest
from steps.core.dataset.tables import tile_frame, write_tiles
from steps.core.tiles.cutting import CutScreenshot
from steps.core.tiles.features import features_file
from steps.core.tiles.shards import append_record
from steps.core.tiles.spec import PreprocessingSpec

_SCREENSHOTS_PER_SHARD = 512


def write_part(store: Path, key: str, cuts: Iterable[tuple[str, CutScreenshot]]) -> pd.DataFrame:
    """Write the tiles of a part, given as (screenshot id, its tiles) in the order of the ids; return their index."""
    rest, indexes = iter(cuts), []
    while chunk := tuple(islice(rest, _SCREENSHOTS_PER_SHARD)):
        # What does not open leaves no tile, and a chunk of such screenshots no shard.
        if any(cut.encoded for _, cut in chunk):
            indexes.append(_write_shard(store, key, chunk))
    index = pd.concat(indexes, ignore_index=True) if indexes else tile_frame([])
    write_tiles(store / key, index)
    return index


def write_index(folder: Path, tiles: pd.DataFrame, spec: PreprocessingSpec, store_uri: str) -> None:
    """Write what the later steps read: the index of the tiles, their spec, and a ManifestFile of their shards."""
    spec.write(folder)
    write_tiles(folder, tiles)
    write_manifest(folder / SHARDS_MANIFEST, store_uri, tiles["shard"])


def write_features_list(folder: Path, tiles: pd.DataFrame, features_uri: str, key: str) -> None:
    """Write a ManifestFile of the features of some tiles, as `read_features` finds them below its prefix."""
    files = map(features_file, tiles["shard"])
    write_manifest(folder / FEATURES_MANIFEST, f"{features_uri.rstrip('/')}/{key}", files)


def tiles_of_dataset(tiles: pd.DataFrame, dataset: pd.DataFrame) -> pd.DataFrame:
    """Return the tiles of all shards that hold one of an accepted screenshot; raises UserError if one has none.

    A shard's index stays whole, because reading a shard means counting its records.
    """
    missing = dataset[~dataset["id"].isin(tiles["id"])]
    if len(missing):
        raise UserError(
            f"{len(missing)} accepted screenshots have no tiles, {missing['uri'].iloc[0]} first: "
            "it no longer opens as it did when it was validated; put the file that was added back, or, if it is in its "
            "place, remove the part without it from the tile store"
        )
    return tiles[tiles["shard"].isin(tiles.loc[tiles["id"].isin(dataset["id"]), "shard"].unique())]


def _write_shard(store: Path, key: str, cuts: Sequence[tuple[str, CutScreenshot]]) -> pd.DataFrame:
    records: list[dict[str, str | int]] = []
    with unfinished(store / key) as beside:
        with beside.open("wb") as shard:
            for screenshot, cut in cuts:
                for index, (tile, data) in enumerate(zip(cut.plan, cut.encoded, strict=True)):
                    records.append(
                        {
                            "id": screenshot,
                            "index": index,
                            "count": len(cut.plan),
                            "left": tile.left,
                            "top": tile.top,
                            "tile_width": tile.width,
                            "tile_height": tile.height,
                            "shard": "",
                            "record": len(records),
                            "offset": append_record(shard, data),
                            "length": len(data),
                        }
                    )
        # Named by its content: two writers of one part never replace each other's shard by a different one.
        name = f"tiles-{sha256_file(beside)[:16]}.tfrecord"
        beside.replace(store / key / name)
    return tile_frame(records).assign(shard=f"{key}/{name}")
