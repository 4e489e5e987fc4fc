"""The gate: it passes what is proven, and nothing else."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.core.errors import UserError
from steps.core.gate import Limits, choose_threshold, judge

LIMITS = Limits(max_fpr=0.05, min_tpr=0.5)


def separable(negatives, positives, rng, gap=0.5):
    scores = np.concatenate([rng.uniform(0, 0.4, negatives), rng.uniform(0.4 + gap, 1, positives)])
    return scores, np.repeat([0, 1], [negatives, positives])


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_a_separating_model_with_enough_evidence_passes(rng):
    verdict = judge(separable(300, 200, rng, 0.1), separable(300, 200, rng, 0.1), LIMITS)
    assert verdict.passed
    assert verdict.reasons == ()
    assert verdict.fpr.upper <= 0.05
    assert verdict.tpr.lower >= 0.5


def test_no_errors_in_298_negatives_do_not_prove_one_percent(rng):
    calibration = separable(2000, 200, rng)
    scores, labels = separable(298, 200, rng)
    scores[labels == 0] = 0.0
    verdict = judge(calibration, (scores, labels), Limits(max_fpr=0.01))
    assert not verdict.passed
    assert verdict.negatives_missing == 1
    assert "1 more without a further one are needed" in verdict.message
    assert judge(calibration, (np.append(scores, 0.0), np.append(labels, 0)), Limits(max_fpr=0.01)).passed


def test_too_few_calibration_negatives_are_counted(rng):
    verdict = judge(separable(100, 50, rng), separable(1000, 100, rng), Limits(max_fpr=0.01))
    assert not verdict.passed
    assert verdict.point.missing == 199
    assert "199 more are needed" in verdict.message


def test_a_useless_model_fails_on_its_true_positives(rng):
    scores = rng.random(1000), rng.random(1000)
    labels = np.arange(1000) % 2
    verdict = judge((scores[0], labels), (scores[1], labels), LIMITS)
    assert not verdict.passed
    assert any("True-positive rate" in reason for reason in verdict.reasons)


def test_a_shifted_test_split_is_caught(rng):
    calibration = separable(300, 100, rng)
    scores, labels = separable(300, 100, rng)
    verdict = judge(calibration, (scores + 0.3, labels), LIMITS)
    assert not verdict.passed
    assert "above the limit" in verdict.message


def _with(split, change):
    scores, labels = split
    return change(scores.copy(), labels.copy())


BROKEN = {
    "NaN": lambda s, y: (np.where(np.arange(len(s)) == 5, np.nan, s), y),
    "infinity": lambda s, y: (np.where(np.arange(len(s)) == 5, np.inf, s), y),
    "no negatives": lambda s, y: (s[y == 1], y[y == 1]),
    "no positives": lambda s, y: (s[y == 0], y[y == 0]),
    "empty": lambda s, y: (s[:0], y[:0]),
    "odd label": lambda s, y: (s, np.where(np.arange(len(y)) == 0, 2, y)),
    "lengths": lambda s, y: (s[1:], y),
}


@pytest.mark.parametrize("split", ["calibration", "test"])
@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_not_known_fails(fault, split, rng):
    good = separable(300, 200, rng)
    broken = _with(good, BROKEN[fault])
    verdict = judge(broken, good, LIMITS) if split == "calibration" else judge(good, broken, LIMITS)
    assert not verdict.passed
    assert split in verdict.message
    assert verdict.to_dict()["passed"] is False
    assert verdict.to_dict()["failed_checks"] >= 1
    json.dumps(verdict.to_dict(), allow_nan=False)


def test_constant_scores_fail():
    labels = np.arange(2000) % 2
    constant = np.full(2000, 0.7), labels
    assert not judge(constant, constant, LIMITS).passed


@pytest.mark.parametrize(
    "bad",
    [{"max_fpr": 0}, {"max_fpr": 1}, {"max_fpr": float("nan")}, {"min_tpr": 1}, {"min_tpr": 0}, {"confidence": 0.5}],
)
def test_limits_that_prove_nothing_are_refused(bad):
    with pytest.raises(UserError, match="wanted"):
        Limits(**bad)


@settings(max_examples=50)
@given(st.integers(1, 400), st.integers(0, 400), st.floats(0.005, 0.3), st.integers(0, 2**32 - 1))
def test_the_threshold_keeps_its_guarantee_or_is_the_strictest(count, test_negatives, limit, seed):
    scores = np.random.default_rng(seed).random(count)
    point = choose_threshold(scores, Limits(max_fpr=limit), test_negatives)
    assert (scores > point.threshold).sum() == point.allowed
    if point.allowed:
        assert point.violation <= 0.05
    else:
        assert point.threshold == scores.max()
    assert (point.missing == 0) == ((1 - limit) ** count <= 0.05)


def test_a_passed_model_rarely_breaks_the_limit_in_truth():
    """Over many worlds of exchangeable screenshots: to pass with a true rate above the limit is rarer than 5 %."""
    rng = np.random.default_rng(23)
    limits = Limits(max_fpr=0.05, min_tpr=0.5)
    labels = np.repeat([0, 1], [150, 40])
    worlds, passed, wrongly = 400, 0, 0
    for _ in range(worlds):
        # Negatives' scores are uniform, so the true rate of a threshold is one minus it.
        splits = [np.concatenate([rng.random(150), np.full(40, 2.0)]) for _ in range(2)]
        verdict = judge((splits[0], labels), (splits[1], labels), limits)
        passed += verdict.passed
        wrongly += verdict.passed and 1 - verdict.point.threshold > limits.max_fpr
    assert passed > worlds / 2
    assert wrongly / worlds <= 0.05


def test_a_model_that_never_flags_anything_fails_under_every_floor():
    silent = np.zeros(2000), np.arange(2000) % 2
    assert not judge(silent, silent, Limits(max_fpr=0.5, min_tpr=1e-9)).passed
