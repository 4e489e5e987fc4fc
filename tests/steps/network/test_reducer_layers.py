"""TensorFlow's reducer gives NumPy's logits, whatever the bags and whatever fills the places where no tile is."""

import numpy as np
import pytest

from steps.core.common.choices import REDUCERS
from steps.network.reducer import Reducer
from steps.network.runtime import start_tensorflow

start_tensorflow()

import tensorflow as tf  # noqa: E402

from steps.network.reducer_layers import reduce_bag, reduce_bags  # noqa: E402

pytestmark = pytest.mark.integration


def padded(reducer, seed, *, filler, spread=4.0):
    """Return 40 bags of 2 to 9 tiles as TensorFlow takes them, and as NumPy does."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(2, 10, 40)
    present = np.arange(9) < counts[:, None]
    evidence = np.full((*present.shape, reducer.columns), filler, np.float32)
    evidence[present] = rng.normal(0, spread, (counts.sum(), reducer.columns))
    index = np.concatenate([np.arange(count) for count in counts])
    flat = (evidence[present], index, np.repeat(np.arange(40), counts))
    return (tf.constant(evidence), tf.constant(present)), flat


@pytest.mark.parametrize("filler", [0.0, 50.0, -50.0])
@pytest.mark.parametrize("kind", REDUCERS)
def test_both_reducers_agree_and_padding_says_nothing(kind, filler):
    reducer = Reducer(kind)
    ours, flat = padded(reducer, 1, filler=filler)
    assert reduce_bags(reducer, *ours).numpy() == pytest.approx(reducer.logits(*flat), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("kind", REDUCERS)
def test_both_reducers_agree_on_very_sure_tiles(kind):
    reducer = Reducer(kind)
    ours, flat = padded(reducer, 2, filler=0.0, spread=30.0)
    assert reduce_bags(reducer, *ours).numpy() == pytest.approx(reducer.logits(*flat), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("kind", REDUCERS)
@pytest.mark.parametrize("squares", [1, 2, 5])
def test_one_screenshot_alone_is_a_bag_of_one(kind, squares):
    reducer = Reducer(kind)
    evidence = np.random.default_rng(squares).normal(0, 3, (squares + 1, reducer.columns)).astype(np.float32)
    expected = reducer.logits(evidence, np.arange(squares + 1), np.zeros(squares + 1, np.int64))
    assert reduce_bag(reducer, tf.constant(evidence)).numpy() == pytest.approx(expected[0], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("kind", REDUCERS)
def test_what_is_no_number_stays_none(kind):
    reducer = Reducer(kind)
    for row in range(3):
        evidence = np.ones((3, reducer.columns), np.float32)
        evidence[row] = np.nan
        assert np.isnan(reduce_bag(reducer, tf.constant(evidence)).numpy())


@pytest.mark.parametrize("kind", REDUCERS)
def test_gradients_are_finite_and_reach_no_padding(kind):
    reducer = Reducer(kind)
    for spread in (1.0, 60.0):
        (evidence, present), _ = padded(reducer, 3, filler=0.0, spread=spread)
        with tf.GradientTape() as tape:
            tape.watch(evidence)
            total = tf.reduce_sum(reduce_bags(reducer, evidence, present))
        slope = tape.gradient(total, evidence).numpy()
        assert np.isfinite(slope).all()
        assert (slope[~present.numpy()] == 0).all()
        assert (slope[:, 0, 0] != 0).all()
