"""The tables between the steps, each with one reader and one writer: accepted screenshots, refused rows, tiles."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from steps.core.common.errors import UserError
from steps.core.common.files import replacing
from steps.core.dataset.splits import Split

DATASET = "dataset.parquet"
QUARANTINE = "quarantine.parquet"
TILES = "tiles.parquet"
VALIDATION = "validation.json"
SLICE_PREFIX = "slice:"

DATASET_COLUMNS = (
    "id",
    "uri",
    "batch",
    "row",
    "label",
    "group",
    "split",
    "cluster",
    "width",
    "height",
    "format",
)
_QUARANTINE_COLUMNS = ("batch", "labels", "row", "source_ref", "sha256", "reason", "detail")
_TILE_COLUMNS = (
    "id",
    "index",
    "count",
    "left",
    "top",
    "tile_width",
    "tile_height",
    "shard",
    "record",
    "offset",
    "length",
)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A refused row, and why: `row` is its number in the batch's labels file, `sha256` is "" where no file was read."""

    batch: str
    labels: str
    row: int
    source_ref: str
    sha256: str
    reason: str
    detail: str


def write_dataset(folder: Path, accepted: pd.DataFrame) -> None:
    """Write accepted screenshots, sorted by id: the contract's columns first, then the slices in alphabetical order.

    `id` is the sha256 of the bytes, `uri` the key below the labelled data, `label` 0 or 1, `cluster` the id of
    the first added of the near-duplicates that it belongs to (its own, if there are none).
    """
    extra = sorted(str(name) for name in accepted.columns if str(name).startswith(SLICE_PREFIX))
    frame = accepted[[*DATASET_COLUMNS, *extra]].sort_values("id")
    _write(frame.dropna(axis="columns", how="all"), folder / DATASET)


def write_quarantine(folder: Path, refused: Sequence[Quarantined]) -> None:
    frame = pd.DataFrame([asdict(row) for row in refused], columns=list(_QUARANTINE_COLUMNS))
    _write(frame.sort_values(["batch", "row"], kind="stable"), folder / QUARANTINE)


def write_tiles(folder: Path, tiles: pd.DataFrame) -> None:
    _write(tiles[list(_TILE_COLUMNS)].sort_values(["shard", "record"], kind="stable"), folder / TILES)


def tile_frame(tiles: Sequence[Mapping[str, str | int]]) -> pd.DataFrame:
    """Return the index of tiles, a row each; text columns are text and numbers int64, also where there are none.

    `left`, `top` and the sides are the tile's place in its screenshot in pixels, the last four its place in its shard.
    """
    frame = pd.DataFrame(tiles, columns=list(_TILE_COLUMNS))
    return frame.astype({name: "str" if name in ("id", "shard") else "int64" for name in _TILE_COLUMNS})


def read_dataset(folder: Path) -> pd.DataFrame:
    """Read accepted screenshots, a row each, sorted by id; the slice columns are named `slice:<name>`."""
    return _read(folder / DATASET, DATASET_COLUMNS)


def read_quarantine(folder: Path) -> pd.DataFrame:
    return _read(folder / QUARANTINE, _QUARANTINE_COLUMNS)


def read_tiles(folder: Path) -> pd.DataFrame:
    """Read the index of the tiles, a row each, in the order in which the shards hold them."""
    return _read(folder / TILES, _TILE_COLUMNS)


def join_tiles(tiles: pd.DataFrame, dataset: pd.DataFrame, splits: Sequence[Split]) -> pd.DataFrame:
    """Join labels, groups and splits to the tiles of some splits, tiles of a screenshot side by side.

    Raises UserError if a screenshot has no tiles: dataset and tiles then belong to different runs.
    """
    wanted = dataset[dataset["split"].isin([str(split) for split in splits])]
    joined = wanted.merge(tiles, on="id", how="left", validate="one_to_many")
    missing = joined["shard"].isna()
    if missing.any():
        raise UserError(
            f"{int(missing.sum())} screenshots have no tiles, {joined.loc[missing, 'uri'].iloc[0]} first: "
            "run IndexTiles on this dataset"
        )
    integers = ["index", "count", "record", "offset", "length"]
    joined[integers] = joined[integers].astype(np.int64)
    return joined.sort_values(["id", "index"], kind="stable", ignore_index=True)


def _write(frame: pd.DataFrame, path: Path) -> None:
    with replacing(path) as beside:
        frame.to_parquet(beside, index=False)


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the step that writes it first") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable Parquet table: {error}") from None
    if missing := set(columns) - set(frame.columns):
        raise UserError(f"{path} lacks the columns {', '.join(sorted(missing))}: write it with this version")
    return frame
