"""Losses over screenshots: what a wrong logit costs."""

from typing import Any

import tensorflow as tf

_GAMMA = 2.0
_HARDEST = 0.5


def screenshot_loss(name: str, labels: Any, logits: Any, weights: Any, smoothing: float) -> Any:
    """Return the mean loss of a batch, a scalar; labels (0 or 1), logits and weights are float32 [b].

    `cross-entropy`; `focal` (Lin et al. 2017, gamma 2), which cares less for what is right already; `ranking`:
    cross-entropy, plus softplus(negative - positive) over all positives and the harder half of the negatives, a
    surrogate for the partial area under the ROC curve at small false-positive rates (Narasimhan and Agarwal 2013).
    """
    targets = labels * (1.0 - smoothing) + 0.5 * smoothing
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits)
    if name == "focal":
        right = tf.where(labels > 0, tf.sigmoid(logits), tf.sigmoid(-logits))
        entropy *= tf.stop_gradient((1.0 - right) ** _GAMMA) * 2.0
    loss = tf.reduce_sum(weights * entropy) / tf.reduce_sum(weights)
    return loss + _ranking(labels, logits) if name == "ranking" else loss


def _ranking(labels: Any, logits: Any) -> Any:
    positives, negatives = tf.boolean_mask(logits, labels > 0), tf.boolean_mask(logits, labels <= 0)
    count = tf.shape(negatives)[0]
    kept = tf.cast(tf.math.ceil(_HARDEST * tf.cast(count, tf.float32)), tf.int32)
    # Through top_k's own values no gradient finds its way where there are no negatives.
    hardest = tf.gather(negatives, tf.math.top_k(negatives, kept).indices)
    pairs = tf.nn.softplus(hardest[:, None] - positives[None, :])
    # A batch of one class has no pairs.
    return tf.math.divide_no_nan(tf.reduce_sum(pairs), tf.cast(tf.size(pairs), tf.float32))
