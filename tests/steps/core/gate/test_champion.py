"""Candidate against champion, on the same screenshots, by group."""

import json

import numpy as np
import pytest

from steps.core.common.errors import UserError
from steps.core.gate import champion as gate_champion
from steps.core.gate.champion import Champion, compare, unreadable
from steps.core.gate.held_out import HeldOut
from steps.core.gate.limits import ChampionRule, Limits
from steps.core.gate.statistics import clopper_pearson, difference_upper

LIMITS = Limits(max_fpr=0.05, max_fpr_increase=0.02)
LENIENT = Limits(max_fpr=0.05, max_fpr_increase=0.02, champion_rule="not-proven-worse")


def pair(negatives=500, positives=200, *, broken=(0, 0), fixed=(0, 0), codes=None):
    """A candidate's decisions and a champion's that differ where stated, for negatives and for positives."""
    labels = np.repeat([0, 1], [negatives, positives])
    ours, theirs = labels == 1, labels == 1
    for start, more_wrong, more_right in ((0, broken[0], fixed[0]), (negatives, broken[1], fixed[1])):
        ours[start : start + more_wrong] ^= True
        theirs[start + more_wrong : start + more_wrong + more_right] ^= True
    names = [f"s{n}" for n in range(len(labels))]
    codes = np.arange(len(labels)) if codes is None else codes
    champion = Champion("v1", {name: bool(flag) for name, flag in zip(names, theirs, strict=True)})
    return champion, HeldOut(ours.astype(float), labels, names, codes), ours


@pytest.mark.parametrize("rule", ChampionRule)
def test_identical_decisions_pass_however_few(rule):
    comparison = compare(*pair(10, 5), Limits(champion_rule=rule))
    assert comparison.reasons == ()
    assert comparison.fpr.upper == pytest.approx(clopper_pearson(0, 10, 0.95)[1])
    assert (comparison.newly_broken, comparison.newly_fixed) == ((), ())


def test_a_better_candidate_passes_and_lists_what_it_mends():
    comparison = compare(*pair(fixed=(3, 2)), LIMITS)
    assert comparison.reasons == ()
    assert comparison.newly_fixed == ("s0", "s1", "s2", "s500", "s501")
    assert comparison.newly_broken == ()
    assert comparison.fpr.value == pytest.approx(-3 / 500)
    json.dumps(comparison.to_dict(), allow_nan=False)


@pytest.mark.parametrize("limits", [LIMITS, LENIENT])
@pytest.mark.parametrize("broken", [(40, 0), (0, 40)])
def test_a_worse_candidate_fails_under_both_rules(limits, broken):
    comparison = compare(*pair(broken=broken), limits)
    assert len(comparison.reasons) == 1
    assert "proven to be" in comparison.reasons[0]
    assert len(comparison.newly_broken) == 40


def test_too_little_data_fails_one_rule_and_says_how_much_is_needed():
    decided = pair(60, 200, broken=(1, 0))
    reasons = compare(*decided, LIMITS).reasons
    assert len(reasons) == 1
    found = compare(*decided, LIMITS).fpr
    assert (
        f"{found.missing} more negatives in {found.missing_groups} new groups, decided alike, would prove it"
        in reasons[0]
    )
    assert compare(*pair(60 + found.missing, 200, broken=(1, 0)), LIMITS).reasons == ()
    assert compare(*pair(59 + found.missing, 200, broken=(1, 0)), LIMITS).reasons != ()
    assert compare(*decided, LENIENT).reasons == ()


def test_new_errors_of_one_group_count_as_one():
    """12 new false alarms of a single app do not prove a worse model; those of 12 apps do."""
    codes = np.concatenate([np.zeros(12, int), np.arange(1, 689)])
    alone, together = pair(broken=(12, 0)), pair(broken=(12, 0), codes=codes)
    assert compare(*alone, LENIENT).reasons
    assert compare(*together, LENIENT).reasons == ()
    assert compare(*together, LIMITS).fpr.upper > compare(*alone, LIMITS).fpr.upper


@pytest.mark.parametrize(
    ("champion", "says"),
    [
        (UserError("no such\x1b file"), "cannot be read: no such? file"),
        (Champion("v1", {}), "v1 has no decision on 700 of 700"),
        (Champion("v1", {f"s{n}": None for n in range(700)}), "no decision on 700"),
    ],
)
def test_a_champion_that_cannot_be_read_fails(champion, says):
    is_read = isinstance(champion, Champion)
    comparison = compare(champion, *pair()[1:], LENIENT) if is_read else unreadable(champion, LENIENT)
    assert says in comparison.reasons[0]
    assert comparison.to_dict()["passed"] is False
    assert comparison.fpr is None


def test_the_margin_defaults_to_half_the_limit():
    assert Limits(max_fpr=0.04).fpr_margin == 0.02
    assert Limits(max_fpr=0.04, max_fpr_increase=-1.0).fpr_margin == 0.02
    assert Limits(max_fpr=0.04, max_fpr_increase=0.03).fpr_margin == 0.03
    with pytest.raises(UserError, match="non-inferior, not-proven-worse"):
        Limits(champion_rule="none")


@pytest.mark.integration
@pytest.mark.parametrize(("groups", "size", "correlation"), [(500, 1, 0.0), (250, 2, 0.5), (80, 6, 0.3), (80, 6, 0.9)])
def test_a_candidate_worse_by_the_margin_passes_as_rarely_as_stated(groups, size, correlation):
    """Groups draw their share of newly broken and newly fixed screenshots; the true difference is the margin."""
    rng = np.random.default_rng(17)
    worlds, margin, mended = 200, 0.02, 0.02
    codes = np.repeat(np.arange(groups), size)
    passed = 0
    for _ in range(worlds):
        kind = rng.choice(3, (groups, 1), p=[1 - 2 * mended - margin, mended + margin, mended])
        own = rng.choice(3, (groups, size), p=[1 - 2 * mended - margin, mended + margin, mended])
        drawn = np.where(rng.random((groups, size)) < correlation, kind, own).ravel()
        passed += gate_champion._Pairs.of(drawn == 1, drawn == 2, codes).upper(0.95) <= margin
    assert passed / worlds <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / worlds)


@pytest.mark.parametrize(("worse", "better"), [(0, 0), (3, 0), (0, 3), (5, 5), (20, 2)])
def test_the_bound_of_a_difference_encloses_it(worse, better):
    upper, lower = difference_upper(worse, better, 300, 0.95), -difference_upper(better, worse, 300, 0.95)
    assert lower <= (worse - better) / 300 <= upper
    if better == 0:
        assert upper == pytest.approx(clopper_pearson(worse, 300, 0.95)[1], abs=1e-9)
    assert difference_upper(worse, better, 300, 0.99) > upper
    assert difference_upper(worse + 1, better, 300, 0.95) > upper
