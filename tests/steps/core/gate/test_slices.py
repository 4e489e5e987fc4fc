"""Slices: a bad one fails, a good model's do not, and what is too small is said to be."""

import numpy as np
import pytest

from steps.core.gate.held_out import HeldOut
from steps.core.gate.limits import Limits
from steps.core.gate.slices import MIN_EFFECTIVE, Status, check_slices

LIMITS = Limits(max_fpr=0.05, min_tpr=0.3)


def decided(flagged, labels, codes=None):
    codes = np.arange(len(flagged)) if codes is None else codes
    return np.asarray(flagged, bool), np.asarray(labels), codes


def judged(columns, decisions, limits):
    flagged, labels, codes = decisions
    names = [str(n) for n in range(len(flagged))]
    return check_slices(HeldOut(flagged.astype(float), labels, names, codes, columns), flagged, limits)


def world(rng, negatives, rates):
    """Negatives of several slices, each with its true FPR, and as many positives that are nearly all found."""
    values = np.repeat([f"v{n}" for n in range(len(rates))], negatives)
    flagged = rng.random(len(values)) < np.repeat(rates, negatives)
    found = rng.random(len(values)) < 0.9
    labels = np.repeat([0, 1], len(values))
    return {"source": np.tile(values, 2).tolist()}, decided(np.concatenate([flagged, found]), labels)


def statuses(columns, decisions, limits=LIMITS):
    return {part.value: part.status for part in judged(columns, decisions, limits)}


def test_a_bad_slice_fails_and_names_its_rate():
    columns, decisions = world(np.random.default_rng(1), 400, [0.01, 0.01, 0.2])
    slices = {part.value: part for part in judged(columns, decisions, LIMITS)}
    assert [slices[name].status for name in ("v0", "v1", "v2")] == [Status.PROVEN, Status.PROVEN, Status.FAILED]
    assert "is proven above 5 %" in slices["v2"].note
    assert slices["v2"].fpr.lower > 0.05


def test_a_slice_that_finds_too_little_fails():
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], 600)
    values = np.tile(np.repeat(["dark", "light"], 300), 2)
    rate = np.where(labels == 0, 0.01, np.where(values == "dark", 0.1, 0.9))
    slices = judged({"theme": values.tolist()}, decided(rng.random(1200) < rate, labels), LIMITS)
    dark = next(part for part in slices if part.value == "dark")
    assert dark.status is Status.FAILED
    assert "is proven under 30 %" in dark.note


@pytest.mark.integration
@pytest.mark.parametrize(("negatives", "values"), [(40, 12), (150, 6), (800, 4), (3000, 3)])
def test_a_model_that_is_equally_good_everywhere_is_failed_in_few_worlds(negatives, values):
    """Family-wise: at most 5 % by each of the two rules, at true rates of half the limit."""
    rng = np.random.default_rng(7)
    worlds = 30
    failed = 0
    for _ in range(worlds):
        found = statuses(*world(rng, negatives, [0.025] * values))
        failed += Status.FAILED in found.values()
    assert failed / worlds <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / worlds)


@pytest.mark.integration
def test_slices_at_their_limit_are_rarely_called_bad():
    rng = np.random.default_rng(11)
    worlds = 40
    bad = 0
    for _ in range(worlds):
        columns, decisions = world(rng, 200, [0.05] * 8)
        bad += any("proven above" in part.note for part in judged(columns, decisions, LIMITS))
    assert bad / worlds <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / worlds)


def test_a_slice_with_enough_data_that_breaks_the_limit_passes_rarely():
    """Power: a slice at one and a half times the limit, hidden in a whole that keeps it."""
    rng = np.random.default_rng(13)
    passed = sum(statuses(*world(rng, 3000, [0.01, 0.01, 0.01, 0.075]))["v3"] is not Status.FAILED for _ in range(20))
    assert passed <= 1


def test_groups_that_err_together_do_not_make_a_slice_bad():
    """8 false alarms of one app among 40 apps: as independent screenshots that would be proof, as one app it is not."""
    codes = np.concatenate([np.repeat(np.arange(40), 3), np.full(5, 39), 40 + np.arange(400)])
    flagged = np.zeros(len(codes), bool)
    flagged[117:125] = True
    values = np.where(codes < 40, "a", "b").tolist()
    labels = np.zeros(len(codes), int)
    by_group = statuses({"x": values}, decided(flagged, labels, codes), Limits(max_fpr=0.02))
    by_screenshot = statuses({"x": values}, decided(flagged, labels), Limits(max_fpr=0.02))
    assert by_screenshot["a"] is Status.FAILED
    assert by_group["a"] is Status.OPEN


def test_small_slices_are_not_judged_and_say_what_is_wanted():
    columns, decisions = world(np.random.default_rng(5), MIN_EFFECTIVE - 1, [0.5, 0.01])
    for part in judged(columns, decisions, LIMITS):
        assert part.status is Status.NOT_JUDGED
        assert "29 negatives, 30 independent ones wanted" in part.note


def test_a_slice_of_one_class_has_one_rate():
    labels = np.repeat([0, 0, 1, 1], 50)
    parts = judged({"x": np.repeat(["a", "b", "c", "d"], 50)}, decided(labels == 1, labels), LIMITS)
    assert [(part.fpr is None, part.tpr is None) for part in parts] == [(False, True)] * 2 + [(True, False)] * 2
    assert [(part.negatives, part.positives) for part in parts] == [(50, 0)] * 2 + [(0, 50)] * 2


@pytest.mark.parametrize(
    "values",
    [
        *(["same"] * 200, [str(n % 51) for n in range(200)], [None] * 200, [float("nan")] * 100 + ["x"] * 100),
        ["other", "promotion"] * 100,  # the classes' names: each slice would be the whole result again
    ],
)
def test_columns_that_make_no_slices_are_left_out(values):
    labels = np.arange(200) % 2
    assert judged({"column": values}, decided(labels == 1, labels), LIMITS) == []


def test_hostile_values_are_made_printable_and_short():
    values = ["\x1b[31m\u202e" + "x" * 10_000, "<script>alert(1)</script>"] * 100
    labels = np.repeat([0, 1], 100)
    parts = judged({"na\x00me" * 100: values}, decided(labels == 1, labels), LIMITS)
    assert len(parts) == 2
    for part in parts:
        assert part.value.isprintable()
        assert part.column.isprintable()
        assert len(part.value) <= 80
        assert len(part.column) <= 80


def test_a_column_that_only_names_the_groups_makes_no_slices():
    codes = np.repeat(np.arange(20), 5)
    decisions = decided(np.zeros(100), np.tile([0, 0, 0, 1, 1], 20), codes)
    columns = {"app": [f"app-{code}" for code in codes], "family": [f"f{code % 2}" for code in codes]}
    assert {part.column for part in judged(columns, decisions, LIMITS)} == {"family"}
