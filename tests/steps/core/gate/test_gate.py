"""The gate: it passes what is proven, and nothing else."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from steps.core.common.errors import UserError
from steps.core.gate.champion import Champion
from steps.core.gate.clustered_errors import Rate, Sizes
from steps.core.gate.gate import run_gate
from steps.core.gate.held_out import HeldOut
from steps.core.gate.limits import Fleet, Limits
from steps.core.gate.statistics import errors_allowed, pass_probability
from steps.core.gate.test_set_ledger import Consultation
from steps.core.gate.threshold import OperatingPoint, choose_threshold

LIMITS = Limits(max_fpr=0.05, min_tpr=0.5)


def separable(negatives, positives, rng, gap=0.5):
    scores = np.concatenate([rng.uniform(0, 0.4, negatives), rng.uniform(0.4 + gap, 1, positives)])
    return HeldOut(scores, np.repeat([0, 1], [negatives, positives]))


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_a_separating_model_with_enough_evidence_passes(rng):
    verdict = run_gate(separable(300, 200, rng, 0.1), separable(300, 200, rng, 0.1), LIMITS)
    assert verdict.passed
    assert verdict.reasons == ()
    assert verdict.fpr.upper <= 0.05
    assert verdict.tpr.lower >= 0.5


def test_no_errors_in_298_negatives_do_not_prove_one_percent(rng):
    calibration = separable(2000, 200, rng)
    test = separable(298, 200, rng)
    scores = np.where(test.labels == 0, 0.0, test.scores)
    verdict = run_gate(calibration, HeldOut(scores, test.labels), Limits(max_fpr=0.01))
    assert not verdict.passed
    assert verdict.negatives_missing == verdict.groups_missing == 1
    assert "1 more without a further one are needed" in verdict.message
    one_more = HeldOut(np.append(scores, 0.0), np.append(test.labels, 0))
    assert run_gate(calibration, one_more, Limits(max_fpr=0.01)).passed


def test_a_group_counts_once_and_the_missing_are_counted_in_groups(rng):
    calibration = separable(2000, 200, rng)
    test = separable(400, 200, rng)
    groups = np.concatenate([np.repeat(np.arange(100), 4), np.arange(1000, 1200)]).tolist()
    verdict = run_gate(calibration, HeldOut(test.scores, test.labels, groups=groups), Limits(max_fpr=0.01))
    assert not verdict.passed
    assert (verdict.fpr.groups, verdict.fpr.trials) == (100, 400)
    assert verdict.groups_missing == 199
    assert verdict.negatives_missing == 4 * 199
    assert "400 test negatives (of 100 groups, worth 100 independent ones) cannot" in verdict.message
    assert "796 more, in 199 new groups, without a further one are needed" in verdict.message


def test_too_few_calibration_negatives_are_counted(rng):
    verdict = run_gate(separable(100, 50, rng), separable(1000, 100, rng), Limits(max_fpr=0.01))
    assert not verdict.passed
    assert verdict.point.missing == verdict.point.missing_groups == 199
    assert "it has 100. Needed are 199 more." in verdict.message


def test_a_useless_model_fails_on_its_true_positives(rng):
    labels = np.arange(1000) % 2
    verdict = run_gate(HeldOut(rng.random(1000), labels), HeldOut(rng.random(1000), labels), LIMITS)
    assert not verdict.passed
    assert any("Share of positives found" in reason for reason in verdict.reasons)


def test_a_shifted_test_split_is_caught(rng):
    test = separable(300, 100, rng)
    verdict = run_gate(separable(300, 100, rng), HeldOut(np.clip(test.scores + 0.3, 0, 1), test.labels), LIMITS)
    assert not verdict.passed
    assert "above the limit" in verdict.message


def changed(split, **changes):
    fields = {name: getattr(split, name) for name in ("scores", "labels", "ids", "groups", "slices")}
    return HeldOut(**(fields | changes))


def fifth(values, value):
    return np.where(np.arange(len(values)) == 5, value, values)


NAMES = [f"s{n}" for n in range(500)]
BROKEN = {
    "NaN": lambda s: changed(s, scores=fifth(s.scores, np.nan)),
    "infinity": lambda s: changed(s, scores=fifth(s.scores, np.inf)),
    "above 1": lambda s: changed(s, scores=fifth(s.scores, 1.1)),
    "below 0": lambda s: changed(s, scores=fifth(s.scores, -0.1)),
    "no negatives": lambda s: HeldOut(s.scores[s.labels == 1], s.labels[s.labels == 1]),
    "no positives": lambda s: HeldOut(s.scores[s.labels == 0], s.labels[s.labels == 0]),
    "empty": lambda s: HeldOut(s.scores[:0], s.labels[:0]),
    "odd label": lambda s: changed(s, labels=fifth(s.labels, 2)),
    "lengths": lambda s: changed(s, scores=s.scores[1:]),
    "constant": lambda s: changed(s, scores=np.full(len(s.scores), 0.7)),
    "twice the same": lambda s: changed(s, ids=["same", "same", *NAMES[2:]]),
    "no group": lambda s: changed(s, groups=[None, *NAMES[1:]]),
    "too few groups": lambda s: changed(s, groups=NAMES[1:]),
    "slices of another length": lambda s: changed(s, slices={"theme": ["dark"]}),
}


@pytest.mark.parametrize("split", ["calibration", "test"])
@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_not_known_fails(fault, split, rng):
    good = separable(300, 200, rng)
    broken = BROKEN[fault](good)
    verdict = run_gate(broken, good, LIMITS) if split == "calibration" else run_gate(good, broken, LIMITS)
    assert not verdict.passed
    assert split in verdict.message
    assert verdict.to_dict()["passed"] is False
    assert verdict.to_dict()["failed_checks"] >= 1
    json.dumps(verdict.to_dict(), allow_nan=False)


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"champion": UserError("model.tar.gz is no archive")}, "model.tar.gz is no archive"),
        ({"champion": Champion("v3", {})}, "no decision on 500 of 500"),
        ({"champion": Champion("v3", {str(n): 1 for n in range(500)})}, "no decision on 500 of 500"),
        ({"ledger": UserError("ledger.json is damaged")}, "ledger.json is damaged"),
    ],
)
def test_what_cannot_be_read_fails_with_its_reason(given, says, broken, rng):
    test = separable(300, 200, rng, 0.1)
    if broken and not isinstance(given.get("champion"), Champion):
        test = BROKEN["NaN"](test)
    verdict = run_gate(separable(300, 200, rng, 0.1), test, LIMITS, **given)
    assert not verdict.passed
    assert says in verdict.message
    json.dumps(verdict.to_dict(), allow_nan=False)


@pytest.mark.parametrize("shared", ["ids", "groups"])
def test_splits_that_share_screenshots_or_groups_fail(shared, rng):
    calibration, test = (
        changed(separable(300, 200, rng, 0.1), ids=[f"{s}{n}" for n in NAMES], groups=[f"{s}{n}" for n in NAMES])
        for s in "ct"
    )
    assert run_gate(calibration, test, LIMITS).passed
    leaked = changed(test, **{shared: ["cs0", *getattr(test, shared)[1:]]})
    verdict = run_gate(calibration, leaked, LIMITS)
    assert not verdict.passed
    assert "share 1 " in verdict.message
    assert "'cs0'" in verdict.message


@pytest.mark.parametrize(
    "bad",
    [
        {"max_fpr": 0},
        {"max_fpr": 1},
        {"max_fpr": float("nan")},
        {"min_tpr": 1},
        {"min_tpr": 0},
        {"confidence": 0.5},
        {"max_fpr_increase": -0.1},
        {"max_fpr_increase": float("nan")},
        {"max_tpr_decrease": 1},
        {"champion_rule": "any"},
    ],
)
def test_limits_that_prove_nothing_are_refused(bad):
    with pytest.raises(UserError, match="wanted"):
        Limits(**bad)


@pytest.mark.parametrize(
    "bad",
    [
        {"phones": 0},
        {"screenshots_per_day": 0},
        {"screenshots_per_day": float("inf")},
        {"positive_share": 1},
        {"seconds_per_review": float("nan")},
    ],
)
def test_fleets_that_are_none_are_refused(bad):
    with pytest.raises(UserError, match="wanted"):
        Fleet(**bad)


def umbrella(negatives, limits, test_negatives):
    """The Neyman-Pearson umbrella rule for independent screenshots: the (k + 1)-th largest score, and its k."""
    count = len(negatives)
    provable = errors_allowed(test_negatives, limits.max_fpr, limits.confidence)
    allowed = 0
    while (
        allowed + 1 < count
        and binom.cdf(allowed + 1, count, limits.max_fpr) <= limits.alpha
        and pass_probability(allowed + 1, count, test_negatives, provable) >= 0.8
    ):
        allowed += 1
    return float(np.sort(negatives)[::-1][allowed]), allowed


@given(st.integers(1, 400), st.integers(0, 400), st.floats(0.005, 0.3), st.integers(0, 2**32 - 1))
def test_without_repeated_groups_the_threshold_is_the_umbrella_rules(count, test_negatives, limit, seed):
    scores = np.random.default_rng(seed).random(count)
    limits = Limits(max_fpr=limit)
    point = choose_threshold(scores, np.arange(count), limits, Sizes.of(np.arange(test_negatives)))
    assert (point.threshold, point.allowed) == umbrella(scores, limits, test_negatives)
    assert (scores > point.threshold).sum() == point.allowed
    assert point.violation == pytest.approx(binom.cdf(point.allowed, count, limit))
    assert point.groups == count
    assert point.effective == pytest.approx(count)
    if point.allowed:
        assert point.violation <= 0.05
    else:
        assert point.threshold == scores.max()
    assert (point.missing == 0) == ((1 - limit) ** count <= 0.05)


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_tied_scores_and_groups_only_make_the_threshold_stricter(count, groups, levels, seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, count) / levels
    codes = np.unique(rng.integers(0, groups, count), return_inverse=True)[1]
    limits = Limits(max_fpr=0.1)
    point = choose_threshold(scores, codes, limits, Sizes.of(np.arange(500)))
    assert (scores > point.threshold).sum() == point.allowed
    assert point.violation <= 0.05 or point.threshold == scores.max()
    assert (point.missing > 0) == (0.9 ** (codes.max() + 1) > 0.05)


def grouped_scores(rng, groups, size, correlation):
    """Scores of negatives: uniform each, so that the true FPR of a threshold is 1 - threshold, alike within a group."""
    from scipy import stats

    latent = np.sqrt(correlation) * rng.normal(size=(groups, 1)) + np.sqrt(1 - correlation) * rng.normal(
        size=(groups, size)
    )
    return stats.norm.cdf(latent).ravel(), np.repeat(np.arange(groups), size)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("groups", "size", "correlation"), [(150, 1, 0.0), (150, 4, 0.3), (120, 6, 0.9), (80, 10, 0.6)]
)
def test_a_passed_model_rarely_breaks_the_limit_in_truth(groups, size, correlation):
    """Over many worlds: to choose, or to pass, with a true rate above the limit is rarer than 5 %."""
    rng = np.random.default_rng(23)
    limits = Limits(max_fpr=0.05, min_tpr=0.5)
    worlds, chosen, passed, wrongly = 100, 0, 0, 0
    for _ in range(worlds):
        splits = []
        for start in (0, 10_000):
            scores, codes = grouped_scores(rng, groups, size, correlation)
            labels = np.repeat([0, 1], [len(scores), 40])
            names = np.concatenate([codes, 5000 + np.arange(40)]) + start
            splits.append(HeldOut(np.append(scores, np.ones(40)), labels, groups=names.tolist()))
        verdict = run_gate(*splits, limits)
        broken = 1 - verdict.point.threshold > limits.max_fpr
        chosen += broken and not verdict.point.missing
        passed += verdict.passed
        wrongly += verdict.passed and broken
    room = 3 * np.sqrt(0.05 * 0.95 / worlds)
    assert passed > worlds / 4
    assert chosen / worlds <= 0.05 + room
    assert wrongly / worlds <= 0.05


@pytest.mark.integration
def test_the_stated_power_is_how_often_the_check_passes():
    rng = np.random.default_rng(29)
    stated, passed = [], []
    for _ in range(120):
        scores, codes = grouped_scores(rng, 200, 3, 0.4)
        fresh, fresh_codes = grouped_scores(rng, 200, 3, 0.4)
        point = choose_threshold(scores, codes, Limits(max_fpr=0.05), Sizes.of(fresh_codes))
        stated.append(point.power)
        passed.append(Rate.grouped(fresh > point.threshold, fresh_codes, 0.95).upper <= 0.05)
    assert np.mean(passed) == pytest.approx(np.mean(stated), abs=0.12)


def test_a_model_that_never_flags_anything_fails_under_every_floor():
    silent = HeldOut(np.linspace(0, 1e-9, 2000), np.arange(2000) % 2)
    highest_is_negative = HeldOut(silent.scores[::-1].copy(), silent.labels)
    assert not run_gate(highest_is_negative, silent, Limits(max_fpr=0.5, min_tpr=0.999)).passed


def test_the_verdict_says_what_it_means_for_people(rng):
    fleet = Fleet(phones=10, screenshots_per_day=100, positive_share=0.1, seconds_per_review=36)
    verdict = run_gate(separable(300, 200, rng, 0.1), separable(300, 200, rng, 0.1), LIMITS, fleet=fleet)
    people = verdict.to_dict()["people"]
    assert people["negatives_per_day"] == 900
    assert people["false_alarms"]["upper"] == pytest.approx(100_000 * verdict.fpr.upper)
    assert people["wasted_hours_per_day"]["upper"] == pytest.approx(900 * verdict.fpr.upper / 100)
    assert people["useful_hours_per_day"]["value"] == pytest.approx(100 * verdict.tpr.value / 100)
    hours = people["reviewer_hours_per_day"]
    assert hours["lower"] <= hours["value"] <= hours["upper"]


def test_many_looks_warn_and_fail_nothing(rng):
    test = separable(300, 200, rng, 0.1)
    common = {"negatives": 300, "groups": 500, "limits": LIMITS.to_dict(), "passed": True, "moment": ""}
    looks = [Consultation.of(test.named(), model=f"{n:064x}", **common) for n in range(30)]
    calibration = separable(300, 200, rng, 0.1)
    fresh, worn = run_gate(calibration, test, LIMITS), run_gate(calibration, test, LIMITS, ledger=looks)
    assert fresh.passed
    assert worn.passed
    assert fresh.warnings == ()
    assert "worn out" in worn.warnings[0]
    ledger = worn.to_dict()["ledger"]
    assert (ledger["looks"], ledger["worn_out"]) == (31, True)
    assert ledger["fpr_upper"] > worn.fpr.upper
    assert run_gate(calibration, test, LIMITS, ledger=looks, look=looks[0].name).wear.looks == 30


def test_a_message_is_no_longer_than_a_fail_step_takes(rng):
    passed = run_gate(separable(300, 200, rng, 0.1), separable(300, 200, rng, 0.1), LIMITS)
    message = replace(passed, reasons=("It is broken.",) * 300).to_dict()["message"]
    assert len(message) == 3_072
    assert message.endswith("…")


def test_the_verdict_keeps_its_keys(rng):
    verdict = run_gate(separable(300, 200, rng, 0.1), separable(300, 200, rng, 0.1), LIMITS)
    written = verdict.to_dict()
    assert {"passed", "failed_checks", "message", "reasons", "max_fpr", "min_tpr", "confidence"} <= set(written)
    assert {"operating_point", "fpr", "tpr", "negatives_missing", "false_alarms"} <= set(written)
    assert {"slices", "champion", "ledger", "people", "limits", "warnings", "groups_missing"} <= set(written)
    assert set(written["operating_point"]) == set(OperatingPoint.__dataclass_fields__)
    assert {"count", "trials", "value", "lower", "upper", "groups", "effective", "design_effect"} == set(written["fpr"])
