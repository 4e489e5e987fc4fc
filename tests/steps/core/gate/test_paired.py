"""Two rankings of the same screenshots: a gain that is one, and no better proven than by independent groups."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from steps.core.gate.gate import run_gate
from steps.core.gate.held_out import HeldOut
from steps.core.gate.limits import Limits
from steps.core.gate.paired import Gain, paired_gain


def drawn(seed, *, count=60, signal=1.0):
    """Labels, groups of two, and scores that tell labels apart by so many standard deviations."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    return labels, np.arange(count) // 2, random.normal(size=count) + signal * labels


@settings(max_examples=15)
@given(st.integers(0, 999))
def test_a_gain_turns_its_sign_with_the_rankings_and_lies_in_its_interval(seed):
    labels, groups, ours = drawn(seed)
    theirs = drawn(seed + 1, signal=2.0)[2]
    gain, other = paired_gain(ours, theirs, labels, groups), paired_gain(theirs, ours, labels, groups)
    assert gain.value == pytest.approx(-other.value)
    assert (gain.lower, gain.upper) == pytest.approx((-other.upper, -other.lower))
    assert gain.lower <= gain.upper
    assert gain.error == pytest.approx(other.error)
    assert not (gain.proven and gain.lost)


@settings(max_examples=15)
@given(st.integers(0, 999), st.floats(0.1, 10), st.floats(-5, 5))
def test_only_the_order_of_scores_counts(seed, scale, offset):
    labels, groups, scores = drawn(seed)
    same = paired_gain(scores, scale * scores + offset, labels, groups)
    assert (same.value, same.error, same.proven, same.lost) == (0, 0, False, False)


def test_a_better_ranking_is_proven_by_hundreds_of_groups_and_by_copies_of_few_no_more_than_by_those():
    labels, groups, weak = drawn(3, count=800, signal=0.5)
    strong = drawn(4, count=800, signal=1.2)[2]
    assert paired_gain(strong, weak, labels, groups).proven
    assert paired_gain(weak, strong, labels, groups).lost
    few = paired_gain(strong[:40], weak[:40], labels[:40], groups[:40])
    copied = paired_gain(*(np.repeat(values[:40], 20) for values in (strong, weak, labels, groups)))
    assert copied.error == pytest.approx(few.error)
    assert not copied.proven


def test_a_few_groups_prove_nothing():
    labels, groups, strong = drawn(4, count=38, signal=9.0)
    assert not paired_gain(strong, -strong, labels, groups).proven


def test_one_class_in_every_draw_proves_nothing():
    gain = paired_gain(np.array([0.1, 0.2]), np.array([0.2, 0.1]), np.array([1, 1]), np.array([0, 1]))
    assert not gain.proven
    assert not gain.lost
    assert gain.error == 1


@pytest.mark.parametrize(("signal", "worse"), [(0.0, True), (2.0, False)])
def test_the_gate_fails_a_ranking_that_is_proven_worse_than_the_baseline(signal, worse):
    labels, groups, scores = drawn(5, count=800, signal=signal)
    test = HeldOut(expit(scores), labels, ids=range(800), groups=groups.tolist())
    calibration = HeldOut(
        expit(drawn(6, count=800, signal=signal)[2]), labels, ids=range(800, 1600), groups=range(800, 1600)
    )
    baseline = dict(zip(test.named(), drawn(7, count=800, signal=1.5)[2].tolist(), strict=True))
    verdict = run_gate(calibration, test, Limits(), baseline=baseline)
    assert isinstance(verdict.gain, Gain)
    assert any("ranks worse than the baseline" in reason for reason in verdict.reasons) == worse
    assert verdict.to_dict()["baseline"] == asdict(verdict.gain)
    assert run_gate(calibration, test, Limits()).to_dict()["baseline"] is None
