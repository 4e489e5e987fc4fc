"""The reducer as TensorFlow: what training goes through, and what the phone's graph ends with."""

from typing import Any

import tensorflow as tf

from steps.network.reducer import LSE_SHARPNESS, OVERVIEW_LOGIT, SQUARE_LOGIT, SQUARE_MORE, Reducer

_FAR = -1e9


def reduce_bags(reducer: Reducer, evidence: Any, present: Any) -> Any:
    """Reduce evidence float32 [bags, tiles, columns] to logits [bags], as `Reducer.logits` does.

    Tile 0 of a bag is the overview; `present`, bool [bags, tiles], is False where a bag has no such tile.
    """
    there = tf.cast(present[:, 1:], tf.float32)
    count = tf.reduce_sum(there, 1)
    logits = evidence[:, 1:, SQUARE_LOGIT]
    whole = evidence[:, 0, OVERVIEW_LOGIT]
    squares = _squares(reducer.kind, logits, evidence, there, count)
    if reducer.kind == "blend":
        return (whole + squares + tf.reduce_max(_masked(evidence[:, 1:, SQUARE_MORE], there), 1)) / 3.0
    return 0.5 * (whole + squares)


def reduce_bag(reducer: Reducer, evidence: Any) -> Any:
    """Reduce the evidence of one screenshot, float32 [tiles, columns], overview first, to its logit, a scalar."""
    return reduce_bags(reducer, evidence[None], tf.ones_like(evidence[None, :, 0], tf.bool))[0]


def _squares(kind: str, logits: Any, evidence: Any, there: Any, count: Any) -> Any:
    if kind in ("mean", "blend"):
        return tf.reduce_sum(there * logits, 1) / count
    if kind == "max":
        return tf.reduce_max(_masked(logits, there), 1)
    if kind == "noisy-or":
        none = tf.reduce_sum(there * tf.math.log_sigmoid(-logits), 1)
        return tf.math.log(-tf.math.expm1(tf.minimum(none, -1e-30))) - none
    if kind == "lse":
        sharp = _masked(LSE_SHARPNESS * logits, there)
        return (tf.reduce_logsumexp(sharp, 1) - tf.math.log(count)) / LSE_SHARPNESS
    if kind == "top2":
        first = tf.reduce_max(_masked(logits, there), 1)
        best = tf.one_hot(tf.argmax(_masked(logits, there), 1), tf.shape(logits)[1])
        second = tf.reduce_max(_masked(logits, there * (1.0 - best)), 1)
        return tf.where(count > 1, 0.5 * (first + second), first)
    weights = tf.nn.softmax(_masked(evidence[:, 1:, SQUARE_MORE], there), 1)
    return tf.reduce_sum(weights * logits, 1)


def _masked(values: Any, there: Any) -> Any:
    return there * values + (1.0 - there) * _FAR
