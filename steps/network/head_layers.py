"""The head as TensorFlow: what fine-tuning goes through, and what the phone's graph ends with."""

from typing import Any

import tensorflow as tf

from steps.network.head import Head


def pool_bags(features: Any, present: Any) -> Any:
    """Pool features float32 [bags, tiles, D] to [bags, 3 D], as `steps.network.head.pool` does.

    Tile 0 of a bag is the overview; `present`, bool [bags, tiles], is False where a bag has no such tile.
    """
    there = tf.cast(present[:, 1:, None], features.dtype)
    squares = features[:, 1:] * there
    mean = tf.reduce_sum(squares, 1) / tf.reduce_sum(there, 1)
    maximum = tf.reduce_max(squares + (1.0 - there) * features.dtype.min, 1)
    return tf.concat([features[:, 0], mean, maximum], 1)


def evidence_of(head: Head, features: Any) -> tuple[Any, Any]:
    """Return one screenshot's logit [1] and what each tile adds to it [tiles]; features [tiles, D], overview first.

    Sums of products instead of matrix products: whatever a conversion does to weights, it does not do it to these.
    """
    overview, mean, maximum = (tf.constant(row, tf.float32) for row in (head.overview, head.mean, head.maximum))
    whole, squares = features[:1], features[1:]
    count = tf.cast(tf.shape(squares)[0], tf.float32)
    largest = tf.reduce_max(squares, 0, keepdims=True)
    reached = tf.cast(tf.equal(squares, largest), tf.float32)
    shared = reached / tf.reduce_sum(reached, 0, keepdims=True)
    of_squares = tf.reduce_sum(squares * (mean / count + shared * maximum), 1)
    evidence = tf.concat([tf.reduce_sum(whole * overview, 1), of_squares], 0)
    return tf.reshape(tf.reduce_sum(evidence) + head.bias, [1]), evidence
