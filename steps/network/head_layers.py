"""The head's pooling as TensorFlow, which fine-tuning goes through."""

from typing import Any

import tensorflow as tf


def pool_bags(features: Any, present: Any) -> Any:
    """Pool features float32 [bags, tiles, D] to [bags, 3 D], as `steps.network.head.pool` does.

    Tile 0 of a bag is the overview; `present`, bool [bags, tiles], is False where a bag has no such tile.
    """
    there = tf.cast(present[:, 1:, None], features.dtype)
    squares = features[:, 1:] * there
    mean = tf.reduce_sum(squares, 1) / tf.reduce_sum(there, 1)
    maximum = tf.reduce_max(squares + (1.0 - there) * features.dtype.min, 1)
    return tf.concat([features[:, 0], mean, maximum], 1)
