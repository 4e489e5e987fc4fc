"""Tiles for TensorFlow: a `tf.data` input that reads the shards as they lie and joins labels as it goes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from steps.core.dataset import join_tiles, read_dataset, read_tiles
from steps.core.errors import UserError
from steps.core.spec import PreprocessingSpec
from steps.core.splits import Split


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

        Each shard is read once, from its beginning; records of other splits are passed over without decoding.
        """
        wanted = rows.assign(position=np.arange(len(rows), dtype=np.int64))
        position = self._index.merge(wanted[["shard", "record", "position"]], on=["shard", "record"], how="left")
        positions = position["position"].fillna(-1).to_numpy(np.int64)
        shards = [str(self.folder / name) for name in dict.fromkeys(position["shard"])]
        records = tf.data.TFRecordDataset(shards)
        numbered = tf.data.Dataset.zip((tf.data.Dataset.from_tensor_slices(positions), records))
        return numbered.filter(lambda at, _: at >= 0)

    def batches(self, rows: pd.DataFrame, batch: int) -> Any:
        """Return a `tf.data.Dataset` of (positions [b], tiles uint8 [b, size, size, 3]), in the order of the shards."""
        size = self.spec.tile_size
        decoded = self.read(rows).map(lambda at, data: (at, decode(data, size)), num_parallel_calls=tf.data.AUTOTUNE)
        return decoded.batch(batch).prefetch(2)


def decode(data: Any, size: int) -> Any:
    """Decode JPEG bytes to uint8 [size, size, 3], with the exact inverse DCT that Pillow uses."""
    pixels = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE", fancy_upscaling=True)
    return tf.ensure_shape(pixels, (size, size, 3))


def score_tiles(model: Any, source: TileSource, rows: pd.DataFrame, batch: int = 64) -> npt.NDArray[np.float64]:
    """Score `rows` with a Keras tile classifier: float64 [tiles], 0 to 1, in their order; no tile left out."""
    scores = np.full(len(rows), np.nan)
    for at, pixels in source.batches(rows, batch):
        scores[at.numpy()] = model(tf.cast(pixels, tf.float32), training=False).numpy()[:, 0]
    return scores
