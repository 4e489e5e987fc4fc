"""Exact binomial statistics, against published tables and by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from steps.core.gate.statistics import (
    at_least,
    at_most,
    clopper_pearson,
    errors_allowed,
    holm,
    pass_probability,
    trials_needed,
)


@pytest.mark.parametrize(
    ("errors", "limit", "needed"),
    [(0, 0.01, 299), (0, 0.001, 2995), (5, 0.01, 1049), (0, 0.05, 59), (1, 0.05, 93), (0, 0.1, 29)],
)
def test_trials_needed_are_the_tables(errors, limit, needed):
    assert trials_needed(errors, limit, 0.95) == needed
    assert clopper_pearson(errors, needed, 0.95)[1] <= limit < clopper_pearson(errors, needed - 1, 0.95)[1]


@given(st.integers(0, 200), st.integers(0, 200), st.sampled_from([0.9, 0.95, 0.99]))
def test_bounds_enclose_the_rate(errors, others, confidence):
    trials = errors + others
    lower, upper = clopper_pearson(errors, trials, confidence)
    assert 0 <= lower <= upper <= 1
    if trials:
        assert lower <= errors / trials <= upper


def test_without_trials_nothing_is_known():
    assert clopper_pearson(0, 0, 0.95) == (0.0, 1.0)


@pytest.mark.parametrize("case", [(-1, 5, 0.95), (6, 5, 0.95), (1, 5, 0.0), (1, 5, 1.0)])
def test_impossible_counts_are_refused(case):
    with pytest.raises(ValueError, match="make no rate"):
        clopper_pearson(*case)


@given(st.integers(1, 3000), st.floats(0.001, 0.5))
def test_allowed_errors_prove_the_limit_and_one_more_does_not(trials, limit):
    allowed = errors_allowed(trials, limit, 0.95)
    if allowed >= 0:
        assert clopper_pearson(allowed, trials, 0.95)[1] <= limit
    assert clopper_pearson(allowed + 1, trials, 0.95)[1] > limit


def test_a_true_rate_at_the_limit_passes_no_more_often_than_the_confidence_allows():
    rng = np.random.default_rng(5)
    limit, trials = 0.05, 300
    errors = rng.binomial(trials, limit, size=20_000)
    passed = np.mean(errors <= errors_allowed(trials, limit, 0.95))
    assert passed <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 20_000)


@pytest.mark.parametrize(("allowed", "calibration", "limit"), [(0, 100, 0.05), (2, 150, 0.05), (5, 300, 0.03)])
def test_an_order_statistic_breaks_the_limit_as_often_as_stated(allowed, calibration, limit):
    rng = np.random.default_rng(7)
    scores = np.sort(rng.random((20_000, calibration)), axis=1)
    true_rates = 1 - scores[:, calibration - 1 - allowed]
    stated = float(at_most(allowed, calibration, limit))
    assert np.mean(true_rates > limit) == pytest.approx(stated, abs=4 * np.sqrt(stated * (1 - stated) / 20_000))


def test_the_test_check_passes_as_often_as_stated():
    rng = np.random.default_rng(11)
    scores = np.sort(rng.random((20_000, 120)), axis=1)
    errors = rng.binomial(140, 1 - scores[:, 119 - 1])
    assert np.mean(errors <= 3) == pytest.approx(pass_probability(1, 120, 140, 3), abs=0.015)
    assert pass_probability(1, 120, 140, -1) == 0


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.01, 0.99))
def test_the_tails_are_the_binomial_ones_and_agree_with_the_bounds(errors, others, rate):
    trials = errors + others
    below = float(at_most(errors, trials, rate))
    assert below == pytest.approx(stats.binom.cdf(errors, trials, rate), abs=1e-9)
    assert at_least(errors, trials, rate) == pytest.approx(stats.binom.sf(errors - 1, trials, rate), abs=1e-9)
    if abs(below - 0.05) > 1e-9 and trials:
        assert (below <= 0.05) == (clopper_pearson(errors, trials, 0.95)[1] <= rate)


def test_holm_steps_down_until_the_first_that_is_kept():
    assert holm(np.array([0.04, 0.01, 0.03, 0.012]), 0.05).tolist() == [False, True, False, True]
    assert holm(np.array([0.01, 0.02]), 0.05).tolist() == [True, True]
    assert holm(np.array([0.03, 0.9]), 0.05).tolist() == [False, False]
    assert holm(np.zeros(0), 0.05).tolist() == []
