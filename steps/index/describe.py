"""The features of tiles by the frozen backbone. Import it after `steps.network.runtime.start_tensorflow`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from steps.core.common.errors import UserError
from steps.network.backbone import build_model
from steps.network.tile_input import decode

BATCH = 64
_READ_BYTES = 8 << 20


class FrozenBackbone:
    """A backbone with the weights in a file, for tiles of `size` pixels; raises UserError if they do not fit it."""

    def __init__(self, backbone: str, size: int, weights: Path) -> None:
        frozen = build_model(backbone, size, pretrained=weights)
        self._size = size
        self._features = tf.function(
            lambda tiles: tf.cast(frozen(tf.cast(tiles, tf.float32), training=False), tf.float16),
            input_signature=[tf.TensorSpec([None, size, size, 3], tf.uint8)],
        )

    def batches(self, shard: Path) -> Iterator[npt.NDArray[np.float16]]:
        """Yield the features of a shard's tiles, float16 [BATCH or the rest, D], in the order of its records."""
        records = tf.data.TFRecordDataset(str(shard), buffer_size=_READ_BYTES)
        tiles = records.map(lambda data: decode(data, self._size), num_parallel_calls=tf.data.AUTOTUNE)
        try:
            for batch in tiles.batch(BATCH).prefetch(2):
                yield self._features(batch).numpy()
        except tf.errors.OpError as error:
            raise UserError(
                f"{shard} cannot be read ({str(error.message)[:200]}): remove its part from the tile store, and start "
                "the run again"
            ) from None
