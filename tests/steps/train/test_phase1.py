"""Phase 1: the optimum, the penalty that held-out screenshots choose, and groups that stay together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from steps.core.common.errors import UserError
from steps.train import phase1
from steps.train.phase1 import PENALTIES, Examples, fit_phase1, folds, solve


def examples(count=120, width=6, groups=40, seed=0, signal=2.0):
    random = np.random.default_rng(seed)
    features = random.normal(3.0, 2.0, (count, width)).astype(np.float32)
    labels = (random.random(count) < expit(signal * (features[:, 0] - 3))).astype(np.int64)
    return Examples(features, labels, np.array([f"app-{n % groups}" for n in range(count)], object))


@pytest.mark.parametrize("width", [6, 300], ids=["more screenshots than features", "fewer"])
def test_the_solution_has_no_slope_left(width):
    """At the optimum the gradient of the weighted loss equals the penalty's, by standardised features."""
    data, penalty = examples(width=width), 0.01
    found = solve(data, penalty)
    deviation = data.features.std(0) + phase1._LEAST_DEVIATION
    values = (data.features - data.features.mean(0)) / deviation
    error = data.weights() * (expit(found.logits(data.features)) - data.labels)
    assert error.sum() == pytest.approx(0, abs=0.05)
    assert penalty * values.T @ error + found.weights * deviation == pytest.approx(np.zeros(width), abs=2e-3)


def test_screenshots_of_large_groups_count_less_each():
    data = Examples(np.zeros((6, 1), np.float32), np.zeros(6, np.int64), np.array(["a"] * 4 + ["b", "c"], object))
    weights = data.weights()
    assert weights.mean() == pytest.approx(1)
    assert weights[4] / weights[0] == pytest.approx(2)


@given(st.integers(0, 30), st.integers(4, 30))
def test_folds_keep_groups_together_and_hold_everything_out_once(seed, groups):
    data = examples(groups=groups, seed=seed)
    held_out = []
    for train, test in folds(data, seed):
        assert not set(data.groups[train]) & set(data.groups[test])
        assert set(data.labels[train]) == set(data.labels[test]) == {0, 1}
        held_out += test.tolist()
    assert len(held_out) == len(set(held_out)) <= len(data.labels)


def test_many_screenshots_are_held_out_in_one_part_only(monkeypatch):
    monkeypatch.setattr(phase1, "_FOLDS", ((10, 5), (50, 3)))
    parts = list(folds(examples(), 0))
    assert len(parts) == 1
    assert len(parts[0][1]) == pytest.approx(120 / 5, abs=8)


def test_scores_of_held_out_screenshots_can_be_read_as_probabilities():
    data = examples(count=4000, groups=1000)
    found = fit_phase1(data, 17)
    scores, labels = expit(found.logits), data.labels[found.held_out]
    for low in (0.1, 0.4, 0.7):
        inside = (scores >= low) & (scores < low + 0.2)
        assert labels[inside].mean() == pytest.approx(scores[inside].mean(), abs=0.07)
    assert found.penalty in PENALTIES


def test_noise_is_held_down_and_a_clear_signal_is_not():
    noise = fit_phase1(examples(count=200, width=400, signal=0.0), 17)
    clear = fit_phase1(examples(count=2000, width=4, groups=600, signal=4.0), 17)
    assert noise.penalty < clear.penalty


def test_with_one_group_a_class_nothing_is_held_out_and_a_head_comes_of_it():
    data = Examples(np.eye(4, dtype=np.float32), np.array([0, 0, 1, 1]), np.array(list("aabb"), object))
    found = fit_phase1(data, 17)
    assert not len(found.held_out)
    assert (found.solution.logits(data.features) > 0).tolist() == [False, False, True, True]


def test_one_class_or_no_numbers_cannot_be_learned_from():
    data = examples()
    with pytest.raises(UserError, match="one class only"):
        fit_phase1(Examples(data.features, np.zeros_like(data.labels), data.groups), 17)
    data.features[3, 2] = np.inf
    with pytest.raises(UserError, match="no finite numbers"):
        fit_phase1(data, 17)
