"""What a wrong screenshot costs, by hand: weights, smoothing, focus, and pairs that training pushes apart."""

import math

import numpy as np
import pytest

from steps.network.runtime import start_tensorflow
from steps.train.hyperparameters import LOSSES

start_tensorflow()

import tensorflow as tf  # noqa: E402

from steps.train.losses import screenshot_loss  # noqa: E402

pytestmark = pytest.mark.integration


def loss(name, labels, logits, weights=None, smoothing=0.0):
    weights = [1.0] * len(labels) if weights is None else weights
    values = [tf.constant(v, tf.float32) for v in (labels, logits, weights)]
    return float(screenshot_loss(name, *values, smoothing))


def softplus(x):
    return math.log1p(math.exp(x))


def test_cross_entropy_is_the_weighted_mean():
    assert loss("cross-entropy", [1, 0], [2.0, -1.0]) == pytest.approx((softplus(-2) + softplus(-1)) / 2)
    weighted = (3 * softplus(-2) + softplus(-1)) / 4
    assert loss("cross-entropy", [1, 0], [2.0, -1.0], [3, 1]) == pytest.approx(weighted)
    # Weights are shares: twice as much of all of them is the same.
    assert loss("cross-entropy", [1, 0], [2.0, -1.0], [6, 2]) == pytest.approx(weighted)


def test_smoothing_moves_targets_towards_a_half():
    smoothed = 0.9 * softplus(-2) + 0.1 * softplus(2)
    assert loss("cross-entropy", [1], [2.0], smoothing=0.2) == pytest.approx(smoothed)
    assert loss("cross-entropy", [0], [-2.0], smoothing=0.2) == pytest.approx(smoothed)


def test_focal_loss_looks_away_from_what_is_right():
    wrong = 1 / (1 + math.exp(2))
    assert loss("focal", [1], [2.0]) == pytest.approx(2 * wrong**2 * softplus(-2), rel=1e-5)
    assert loss("focal", [0], [2.0]) == pytest.approx(2 * (1 - wrong) ** 2 * softplus(2), rel=1e-5)
    ratios = [loss("focal", [1], [z]) / loss("cross-entropy", [1], [z]) for z in (-4.0, 0.0, 2.0, 6.0)]
    assert ratios == sorted(ratios, reverse=True)
    # Normalised by 2: what is wrong counts up to twice, what is half right half, what is right next to nothing.
    assert ratios[0] <= 2
    assert ratios[1] == pytest.approx(0.5, rel=1e-5)
    assert ratios[3] < 1e-4


def test_ranking_adds_all_positives_against_the_harder_half_of_the_negatives():
    labels, logits = [1, 1, 0, 0, 0], [1.0, -1.0, 0.0, 2.0, -3.0]
    pairs = [softplus(n - p) for n in (2.0, 0.0) for p in (1.0, -1.0)]
    expected = loss("cross-entropy", labels, logits) + sum(pairs) / 4
    assert loss("ranking", labels, logits) == pytest.approx(expected, rel=1e-5)


def test_ranking_pushes_pairs_apart_where_cross_entropy_does_not_look():
    labels = tf.constant([1.0, 0.0])
    logits = tf.Variable([-1.0, 1.0])
    for _ in range(50):
        with tf.GradientTape() as tape:
            lost = screenshot_loss("ranking", labels, logits, tf.zeros(2) + 1e-9, 0.0)
        logits.assign_sub(0.5 * tape.gradient(lost, logits))
    assert logits[0] > logits[1] + 1


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("labels", [[1.0, 1.0], [0.0, 0.0], [1.0], [0.0]])
def test_a_batch_of_one_class_is_finite_and_so_is_its_slope(name, labels):
    logits = tf.Variable([200.0, -200.0][: len(labels)])
    with tf.GradientTape() as tape:
        lost = screenshot_loss(name, tf.constant(labels), logits, tf.ones(len(labels)), 0.0)
    assert np.isfinite(float(lost))
    assert np.isfinite(tape.gradient(lost, logits).numpy()).all()
