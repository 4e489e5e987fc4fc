"""Drift: silent on equal samples and on trifles, loud on shifts, with bounds that hold."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from steps.validate.drift import category_margin, compare, numeric_margin
from steps.validate.embedding_drift import classifier_two_sample

FEATURES = ["brightness", "entropy", "format", "landscape"]


def sample(seed, rows=300, *, shift=0.0, png=0.7):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "brightness": rng.normal(shift, 1, rows),
            "entropy": rng.exponential(1, rows),
            "format": rng.choice(["PNG", "JPEG"], rows, p=[png, 1 - png]),
            "landscape": rng.random(rows) < 0.3,
        }
    )


def clustered(rng, groups, rows_of):
    """Screenshots of apps that are all alike within an app."""
    group = np.repeat(np.arange(groups), rows_of)
    value = rng.normal(0, 1, groups)[group]
    return pd.DataFrame({"brightness": value, "format": np.where(value > 0.5, "PNG", "JPEG"), "group": group})


def of(drifts):
    return {drift.feature: drift for drift in drifts}


def test_equal_distributions_are_hardly_ever_told_apart_even_without_a_tolerance():
    alarms = [
        any(drift.drifted for drift in compare(sample(2 * n, 60), sample(2 * n + 1, 90), FEATURES, limit=0.0))
        for n in range(100)
    ]
    assert np.mean(alarms) <= 0.05


def test_screenshots_of_few_apps_do_not_count_as_independent():
    rng = np.random.default_rng(3)
    sizes = np.r_[60, 40, np.full(28, 5)]
    pairs = [(clustered(rng, 30, sizes), clustered(rng, 30, sizes)) for _ in range(100)]
    features = ["brightness", "format"]
    alarms = [any(d.lower > 0 for d in compare(base, new, features)) for base, new in pairs]
    assert np.mean(alarms) <= 0.05
    naive = [any(d.lower > 0 for d in compare(base[features], new[features], features)) for base, new in pairs]
    assert np.mean(naive) > 0.05


def test_a_shift_is_found_in_the_features_that_have_it():
    drifts = of(compare(sample(1), sample(2, shift=1.5, png=0.1), FEATURES))
    assert [name for name in FEATURES if drifts[name].drifted] == ["brightness", "format"]


def test_a_tiny_shift_is_no_drift_however_many_rows_show_it():
    drifts = of(compare(sample(1, 300_000), sample(2, 300_000, shift=0.1, png=0.72), FEATURES))
    assert 0 < drifts["brightness"].lower < 0.1
    assert 0 < drifts["format"].lower < 0.1
    assert not any(drift.drifted for drift in drifts.values())


@pytest.mark.parametrize("shift", [0.5, 2.0])
def test_the_bound_is_below_the_true_distance(shift):
    # Of two normal distributions the distance is that of their distribution functions half-way.
    true = 2 * stats.norm.cdf(shift / 2) - 1
    drifts = [compare(sample(n, 80), sample(1000 + n, 80, shift=shift), ["brightness"])[0] for n in range(100)]
    assert np.mean([drift.lower > true for drift in drifts]) <= 0.05
    assert max(drift.lower for drift in drifts) > 0


def test_the_bound_of_shares_is_below_the_true_distance():
    drifts = [compare(sample(n, 80, png=0.9), sample(1000 + n, 80, png=0.3), ["format"])[0] for n in range(100)]
    assert np.mean([drift.lower > 0.6 for drift in drifts]) <= 0.05
    assert np.mean([drift.lower > 0.1 for drift in drifts]) > 0.9


def test_the_distance_of_numbers_is_that_of_scipy():
    base, new = sample(1), sample(2, 77, shift=0.4)
    known = stats.ks_2samp(base["brightness"], new["brightness"]).statistic
    assert compare(base, new, ["brightness"])[0].distance == pytest.approx(known)


def test_the_margins_are_the_published_ones():
    assert numeric_margin(1000, 0.05) == pytest.approx(np.sqrt(np.log(40) / 2000))
    # P(L1 >= e) <= (2^k - 2) exp(-n e^2 / 2), and the total variation is half of L1.
    margin = category_margin(500, 4, 0.05)
    assert (2**4 - 2) * np.exp(-500 * (2 * margin) ** 2 / 2) == pytest.approx(0.05)
    assert category_margin(500, 1, 0.05) == 0
    assert numeric_margin(0, 0.05) == category_margin(0, 3, 0.05) == 1


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 40))
def test_the_distance_is_symmetric_and_the_bound_within_it(seed, n, m):
    base, new = sample(seed, n), sample(seed + 1, m, shift=2)
    for there, back in zip(compare(base, new, FEATURES), compare(new, base, FEATURES), strict=True):
        assert there.distance == pytest.approx(back.distance)
        assert there.lower == pytest.approx(back.lower)
        assert 0 <= there.lower <= there.distance <= 1
        assert (there.n_base, there.n_new) == (back.n_new, back.n_base)


@given(st.integers(0, 10**6), st.integers(1, 40))
def test_a_sample_has_no_distance_from_itself(seed, n):
    base = sample(seed, n)
    assert [drift.distance for drift in compare(base, base.sample(frac=1, random_state=1), FEATURES)] == [0] * 4


@pytest.mark.parametrize("rows", [0, 1])
def test_one_row_or_none_proves_nothing(rows):
    assert not any(drift.lower for drift in compare(sample(1), sample(2, rows, shift=9), FEATURES))


def test_nothing_against_nothing_is_nothing():
    assert [drift.distance for drift in compare(sample(1, 0), sample(2, 0), FEATURES)] == [0] * 4
    assert compare(sample(1), sample(2), []) == []


def test_constant_features_are_compared():
    base, new = pd.DataFrame({"x": np.zeros(500)}), pd.DataFrame({"x": np.ones(500)})
    assert (compare(base, base, ["x"])[0].distance, compare(base, new, ["x"])[0].distance) == (0, 1)
    assert compare(base, new, ["x"])[0].drifted


def test_missing_numbers_are_left_out_and_missing_texts_are_a_value():
    base = pd.DataFrame({"x": [1.0, 2.0] * 200, "device": ["pixel"] * 400})
    new = pd.DataFrame({"x": [1.0, np.nan, 2.0, np.nan] * 100, "device": ["pixel", None] * 200})
    drifts = of(compare(base, new, ["x", "device"]))
    assert (drifts["x"].distance, drifts["x"].n_base, drifts["x"].n_new) == (0, 400, 200)
    assert drifts["device"].distance == 0.5
    nothing = compare(base, new.assign(x=np.nan), ["x"])[0]
    assert (nothing.distance, nothing.lower, nothing.n_new) == (0, 0, 0)


def test_features_that_one_side_lacks_are_left_out():
    assert [drift.feature for drift in compare(sample(1), sample(2)[["format"]], [*FEATURES, "typo"])] == ["format"]


def test_many_rare_categories_count_as_one():
    base = pd.DataFrame({"size": [f"{n} x 9" for n in range(500)] + ["720 x 1600"] * 500})
    new = pd.DataFrame({"size": [f"9 x {n}" for n in range(500)] + ["1080 x 2400"] * 500})
    assert compare(base, base, ["size"])[0].distance == 0
    assert compare(base, new, ["size"])[0].distance == pytest.approx(0.5, abs=0.02)
    assert compare(base, new, ["size"])[0].drifted


@pytest.mark.parametrize(("sizes", "wanted"), [([5] * 20, 20), ([100] + [1] * 100, 3), ([1], 1)])
def test_a_sample_counts_as_its_effective_number_of_groups(sizes, wanted):
    frame = clustered(np.random.default_rng(1), len(sizes), sizes)
    assert compare(frame, frame, ["brightness"])[0].n_base == wanted


def test_rows_without_a_group_stand_for_themselves():
    frame = clustered(np.random.default_rng(1), 4, 5).assign(group=None)
    assert compare(frame, frame, ["brightness"])[0].n_base == 20


def vectors(seed, rows=300, *, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, (rows, 8)).astype(np.float32)


def told_apart(base, new, **options):
    """Compare embeddings in which each row is a group of its own."""
    return classifier_two_sample(base, new, range(len(base)), range(-len(new), 0), **options)


def test_a_classifier_hardly_ever_tells_equal_embeddings_apart():
    alarms = [told_apart(vectors(2 * n, 60), vectors(2 * n + 1, 60), limit=0.0).drifted for n in range(60)]
    assert np.mean(alarms) <= 0.05


def test_a_classifier_tells_shifted_embeddings_apart_and_its_bound_holds():
    drift = told_apart(vectors(1, 2000), vectors(2, 500, shift=0.5))
    true = 2 * stats.norm.cdf(0.5 * np.sqrt(8) / 2) - 1
    assert drift.drifted
    assert drift.lower < true
    assert drift.distance == pytest.approx(true, abs=0.1)
    assert (drift.n_base, drift.n_new) == (1000, 250)


def test_a_classifier_that_knows_apps_by_heart_finds_no_drift():
    rng = np.random.default_rng(5)
    group = np.repeat(np.arange(60), 30)
    value = rng.normal(0, 1, (60, 48))[group] + rng.normal(0, 0.01, (1800, 48))
    first = group < 30
    alone = told_apart(value[first], value[~first])
    assert alone.drifted
    grouped = classifier_two_sample(value[first], value[~first], group[first], group[~first])
    assert (grouped.drifted, grouped.n_base, grouped.n_new) == (False, 15, 15)


def test_an_app_in_both_samples_stays_on_one_side_of_the_classifier():
    group = np.repeat(np.arange(40), 10)
    value = np.random.default_rng(5).normal(0, 1, (40, 8))[group]
    drift = classifier_two_sample(value, value, group, group)
    assert (drift.distance, drift.n_base, drift.n_new) == (0.0, 20, 20)


def test_the_classifier_gives_the_same_answer_again():
    assert told_apart(vectors(1), vectors(2)) == told_apart(vectors(1), vectors(2))


@pytest.mark.parametrize("rows", [0, 1])
def test_the_classifier_says_nothing_of_one_row(rows):
    drift = told_apart(vectors(1), vectors(2, rows, shift=9))
    assert (drift.distance, drift.lower, drift.drifted) == (0, 0, False)


@pytest.mark.parametrize("wrong", [np.zeros((3, 7)), np.zeros(8), np.full((3, 8), np.nan)])
def test_embeddings_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ValueError, match=r"dimension|NaN"):
        told_apart(vectors(1), wrong)
