"""The 8-bit variant that is trained: quantisation in the loop (TFMOT), taught by the float model's features.

Labels are few and hard; what the float model says of a tile is as many numbers as there are features. The student
starts where post-training quantisation ends, and learns to give the same features, each by its own scale.
"""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from steps.network.compression.quantizing import make_room, observe, simulated
from steps.network.head import Head
from steps.network.tile_input import TileSource

_EPOCHS, _BATCH, _RATE = 4, 32, 1e-4
_RANGE_TILES = 128
_LEAST_DEVIATION = 1e-3


def distilled(model: Any, head: Head, source: TileSource) -> Any:
    """Return a simulated 8-bit copy of a tile model that was taught by it on the tiles of `source`."""
    student = simulated(model)
    tiles = source.batches(source.frame, _BATCH)
    observe(student, (tf.cast(pixels, tf.float32) for _, pixels in tiles.take(_RANGE_TILES // _BATCH)))
    model.trainable = False
    taught = tiles.map(lambda _, pixels: _pair(model, pixels)).unbatch().shuffle(4 * _BATCH).batch(_BATCH).prefetch(2)
    seen = np.concatenate([features.numpy() for _, features in taught.take(_RANGE_TILES // _BATCH)])
    # A feature that no weight looks at may be wrong.
    matters = np.abs(head.overview) + np.abs(head.mean) + np.abs(head.maximum)
    scale = tf.constant(matters / (seen.std(0) * matters + _LEAST_DEVIATION).mean(), tf.float32)
    steps = _EPOCHS * -(-len(source.frame) // _BATCH)
    rate = keras.optimizers.schedules.CosineDecay(_RATE, steps)
    student.compile(
        keras.optimizers.Adam(rate, clipnorm=1.0),
        lambda wanted, found: tf.reduce_mean(((wanted - found) * scale) ** 2, 1),
    )
    student.fit(taught, epochs=_EPOCHS, verbose=2)
    make_room(student)
    return student


def _pair(model: Any, pixels: Any) -> tuple[Any, Any]:
    tiles = tf.cast(pixels, tf.float32)
    return tiles, model(tiles, training=False)
