"""Tiles for TensorFlow: a `tf.data` input that reads the shards as they lie and joins labels as it goes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from steps.core.common.errors import UserError
from steps.core.dataset.splits import Split
from steps.core.dataset.tables import join_tiles, read_dataset, read_tiles
from steps.core.tiles.spec import PreprocessingSpec
from steps.network.head import Head

_READ_BYTES = 8 << 20
_BATCH = 64

Describe = Callable[["TileSource", pd.DataFrame], npt.NDArray[np.floating[Any]]]


class TileSource:
    """The tiles of some splits: an index in memory, the pixels in their shards below `folder`."""

    def __init__(self, tiles: Path, shards: Path, dataset: Path, splits: Sequence[Split]) -> None:
        self.folder = shards
        self.spec = PreprocessingSpec.read(tiles)
        self._index = read_tiles(tiles)
        self.frame = join_tiles(self._index, read_dataset(dataset), splits)
        if self.frame.empty:
            raise UserError(f"no tile belongs to the splits {', '.join(splits)}: the dataset and the tiles do not fit")

    def rows(self, split: Split) -> pd.DataFrame:
        """Return the tiles of one split, those of a screenshot side by side."""
        return self.frame[self.frame["split"] == str(split)].reset_index(drop=True)

    def read(self, rows: pd.DataFrame) -> Any:
        """Return a `tf.data.Dataset` of (position in `rows`, JPEG bytes), in the order of the shards.

        Each shard that holds one of them is opened once and read from its beginning to its end in large pieces;
        records of other splits are passed over.
        """
        index = self._index[self._index["shard"].isin(rows["shard"].unique())]
        wanted = rows.assign(position=np.arange(len(rows), dtype=np.int64))
        position = index.merge(wanted[["shard", "record", "position"]], on=["shard", "record"], how="left")
        positions = position["position"].fillna(-1).to_numpy(np.int64)
        shards = [str(self.folder / name) for name in dict.fromkeys(position["shard"])]
        records = tf.data.TFRecordDataset(shards, buffer_size=_READ_BYTES)
        numbered = tf.data.Dataset.zip((tf.data.Dataset.from_tensor_slices(positions), records))
        return numbered.filter(lambda at, _: at >= 0)

    def batches(self, rows: pd.DataFrame, batch: int) -> Any:
        """Return a `tf.data.Dataset` of (positions [b], tiles uint8 [b, size, size, 3]), in the order of the shards."""
        size = self.spec.tile_size
        decoded = self.read(rows).map(lambda at, data: (at, decode(data, size)), num_parallel_calls=tf.data.AUTOTUNE)
        return decoded.batch(batch).prefetch(2)

    def bags(self, rows: pd.DataFrame) -> Any:
        """Return a `tf.data.Dataset` of screenshots, (code, its tiles' JPEG bytes [m]), in the order of the shards.

        The code is that of `screenshot_codes(rows)`. A screenshot's tiles lie side by side in one shard, overview
        first; memory holds the bytes of one screenshot.
        """
        code = tf.constant(screenshot_codes(rows))
        is_last = tf.constant((rows["index"] == rows["count"] - 1).to_numpy())
        none = tf.constant([], tf.string)

        def gather(bag: Any, record: Any) -> Any:
            at, data = record
            bag = tf.concat([bag, [data]], 0)
            return tf.cond(is_last[at], lambda: none, lambda: bag), (code[at], bag, is_last[at])

        gathered = self.read(rows).scan(none, gather)
        return gathered.filter(lambda _code, _bag, whole: whole).map(lambda number, bag, _whole: (number, bag))


def screenshot_codes(rows: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return whose each tile is, int64 [tiles] rising from 0, for tiles that lie side by side."""
    ids = rows["id"].to_numpy()
    return np.cumsum(np.concatenate([[False], ids[1:] != ids[:-1]]) if len(ids) else np.zeros(0)).astype(np.int64)


def decode(data: Any, size: int) -> Any:
    """Decode JPEG bytes to uint8 [size, size, 3], with the exact inverse DCT that Pillow uses."""
    pixels = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE", fancy_upscaling=True)
    return tf.ensure_shape(pixels, (size, size, 3))


def describer(model: Any) -> Describe:
    """Return what shows stored tiles to a tile model: their features, float32 [tiles, D], in the order of the rows."""
    width, shape = model.output_shape[-1], model.input_shape[1:]
    run = tf.function(
        lambda tiles: model(tf.cast(tiles, tf.float32), training=False),
        input_signature=[tf.TensorSpec([None, *shape], tf.uint8)],
    )

    def describe(source: TileSource, rows: pd.DataFrame) -> npt.NDArray[np.float32]:
        features = np.full((len(rows), width), np.nan, np.float32)
        for at, pixels in source.batches(rows, _BATCH):
            features[at.numpy()] = run(pixels).numpy()
        return features

    return describe


def logits_of(head: Head, describe: Describe, source: TileSource, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return the logit of each screenshot, float64 [k], in the order of `rows`; memory holds one shard's features."""
    logits = np.full(rows["id"].nunique(), np.nan)
    codes = screenshot_codes(rows)
    for at in rows.groupby("shard", sort=False).indices.values():
        part = rows.iloc[at].reset_index(drop=True)
        own, local = np.unique(codes[at], return_inverse=True)
        logits[own] = head.logits(describe(source, part), part["index"].to_numpy(), local)
    return logits
