"""Two numbers that make scores probabilities: recovered from simulations, and harmless where nothing is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from steps.train.phase1 import fit_calibration


def simulated(scale, offset, count=20_000, seed=5):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, count)
    return logits, (rng.uniform(size=count) < expit(scale * logits + offset)).astype(np.int64)


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (0.4, 1.0), (2.5, -2.0), (0.1, -3.0)])
def test_a_known_scale_and_offset_are_found_again(scale, offset):
    found = fit_calibration(*simulated(scale, offset))
    assert found == pytest.approx((scale, offset), rel=0.1, abs=0.1)


def test_calibrated_scores_are_right_as_often_as_they_say():
    logits, labels = simulated(0.3, -1.0)
    scale, offset = fit_calibration(logits, labels)
    scores = expit(scale * logits + offset)
    for low in (0.1, 0.3, 0.5, 0.7):
        inside = (scores >= low) & (scores < low + 0.2)
        assert labels[inside].mean() == pytest.approx(scores[inside].mean(), abs=0.05)


@pytest.mark.parametrize("labels", [np.zeros(5, np.int64), np.ones(5, np.int64), np.zeros(0, np.int64)])
def test_without_both_classes_nothing_is_changed(labels):
    assert fit_calibration(np.linspace(-1, 1, len(labels)), labels) == (1.0, 0.0)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_no_number_changes_nothing(broken):
    assert fit_calibration(np.array([0.0, broken, 2.0]), np.array([0, 1, 1])) == (1.0, 0.0)


def test_separable_logits_leave_room_on_both_sides():
    logits, labels = np.repeat([-80.0, 80.0], 50), np.repeat([0, 1], 50)
    scale, offset = fit_calibration(logits, labels)
    low, high = expit(scale * np.array([-80.0, 80.0]) + offset)
    # The scale's own floor lies below: what keeps the scores off 0 and 1 is that targets are neither.
    assert 0.0 < low < 0.05
    assert 0.95 < high < 1.0


def test_logits_that_are_wrong_still_rise():
    scale, offset = fit_calibration(np.array([-3.0, -2.0, 2.0, 3.0]), np.array([1, 1, 0, 0]))
    assert scale > 0
    assert np.isfinite(offset)


@given(st.lists(st.tuples(st.floats(-1e4, 1e4), st.integers(0, 1)), min_size=2, max_size=30))
def test_whatever_the_logits_the_scores_keep_their_order(pairs):
    logits, labels = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    scale, offset = fit_calibration(logits, labels)
    assert np.isfinite([scale, offset]).all()
    scores = expit(scale * np.sort(logits) + offset)
    assert (np.diff(scores) >= 0).all()
    assert 0 < scale <= 5.0 + 1e-9
