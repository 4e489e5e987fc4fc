"""The curves of the report: what every threshold would have done, thinned without moving a point."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import norm

from steps.evaluate.report.plots import curve, deviate

scores_and_labels = st.integers(2, 60).flatmap(
    lambda count: st.tuples(
        arrays.arrays(np.float64, count, elements=st.sampled_from(np.linspace(0, 1, 21).tolist())),
        arrays.arrays(np.int64, count, elements=st.integers(0, 1)).filter(
            lambda labels: 0 < labels.sum() < len(labels)
        ),
    )
)


@given(drawn=scores_and_labels, frozen=st.floats(0, 1), stops=st.integers(2, 30))
def test_every_stop_counts_what_lies_above_it(drawn, frozen, stops):
    scores, labels = drawn
    found = curve(scores, labels, frozen, stops=stops)
    assert (np.diff(found.thresholds) > 0).all()
    assert len(found.thresholds) <= stops + 1
    assert found.thresholds[found.frozen] == frozen
    for threshold, false, true in zip(found.thresholds, found.false_positives, found.true_positives, strict=True):
        assert false == ((scores > threshold) & (labels == 0)).sum()
        assert true == ((scores > threshold) & (labels == 1)).sum()


@given(drawn=scores_and_labels, stops=st.integers(2, 30))
def test_the_ends_of_the_curve_are_kept(drawn, stops):
    scores, labels = drawn
    found = curve(scores, labels, stops=stops)
    assert found.thresholds[0] == 0
    assert found.thresholds[-1] == scores.max()
    assert found.frozen is None


def test_small_rates_keep_their_stops():
    rng = np.random.default_rng(0)
    labels = np.arange(200_000) % 10 == 0
    scores = np.where(labels, rng.beta(3, 1, 200_000), rng.beta(1, 3, 200_000))
    found = curve(scores, labels.astype(np.int64))
    assert len(found.thresholds) <= 401
    assert ((found.fpr > 0) & (found.fpr < 0.001)).sum() > 40


@pytest.mark.parametrize(
    ("scores", "labels"), [([], []), ([0.5], [0]), ([0.5], [1]), ([0.5, np.nan], [0, 1]), ([np.inf, 0.5], [0, 1])]
)
def test_what_cannot_be_measured_has_no_curve(scores, labels):
    assert curve(np.array(scores, np.float64), np.array(labels, np.int64)) is None


def test_deviates_are_those_of_the_normal_distribution_and_finite():
    rates = np.array([0.0, 0.005, 0.5, 1.0])
    assert deviate(rates, 50) == pytest.approx(norm.ppf([0.01, 0.01, 0.5, 0.99]))
