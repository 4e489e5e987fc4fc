"""Counting by groups: the bound holds whatever errs together, and is exact where nothing does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.gate.clustered_errors import Errors, Rate, Sizes, needed, violations
from steps.core.gate.statistics import at_most, clopper_pearson, trials_needed

SIZES = {
    "independent": np.ones(300, int),
    "pairs": np.full(150, 2),
    "tens": np.full(100, 10),
    "large": np.full(100, 30),
    "few groups": np.full(20, 20),
    "skewed": np.maximum(1, np.random.default_rng(0).geometric(0.2, 300)),
    "heavy tail": np.maximum(1, np.random.default_rng(0).lognormal(0.5, 1.3, 400).astype(int)),
    "three dominate": np.r_[np.full(3, 100), np.ones(400, int)],
    "eight dominate": np.r_[np.full(8, 20), np.ones(400, int)],
    "phone apps": np.r_[[11, 10, 10, 10, 9, 9, 8, 7, 5, 5, 4, 4], np.full(4, 3), np.full(8, 2), np.ones(33, int)],
}
WORLDS = 1000


def draw(rng, sizes, rate, correlation):
    """Errors of beta-binomial groups, [worlds, groups], with a mean rate and an intraclass correlation."""
    if correlation == 0:
        return rng.binomial(sizes, rate, (WORLDS, len(sizes)))
    if correlation == 1:
        return sizes * (rng.random((WORLDS, len(sizes))) < rate)
    scale = (1 - correlation) / correlation
    rates = rng.beta(rate * scale, (1 - rate) * scale, (WORLDS, len(sizes)))
    return rng.binomial(np.broadcast_to(sizes, rates.shape), rates)


def tails(errors, sizes, limit):
    """The gate's p-values for "the rate is above the limit", one a world."""
    moments = Sizes(len(sizes), int(sizes.sum()), float((sizes**2).sum()), float((sizes**3).sum()))
    errors = errors.astype(float)
    sums = errors.sum(1), (errors > 0).sum(1).astype(float), (errors**2).sum(1), errors @ sizes
    return violations(moments, sums, limit)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("limit", [0.01, 0.05, 0.1, 0.7])
def test_a_true_rate_at_the_limit_is_within_its_bound_as_rarely_as_stated(sizes, limit):
    """Plain Korn-Graubard and a count without groups break this many times over."""
    rng = np.random.default_rng(31)
    for correlation in (0, 0.1, 0.4, 0.8, 1):
        passed = np.mean(tails(draw(rng, SIZES[sizes], limit, correlation), SIZES[sizes], limit) <= 0.05)
        # Some room where all of a group errs or nothing, and for the chance of the simulation.
        room = 0.065 if correlation > 0.5 else 0.05
        assert passed <= room + 3 * np.sqrt(room * (1 - room) / WORLDS), correlation


def test_counting_without_groups_would_break_the_bound():
    """The simulation is able to fail: without groups a tenfold repeated error passes five times too often."""
    errors = draw(np.random.default_rng(5), SIZES["tens"], 0.05, 0.5).sum(1)
    assert np.mean(at_most(errors.astype(float), np.full(WORLDS, 1000.0), 0.05) <= 0.05) > 0.15


@pytest.mark.parametrize("correlation", [0, 0.2])
def test_spread_out_errors_cost_little(correlation):
    """With much data the bound comes near to what the variance really is: it is not the count of groups."""
    rng, sizes, rate = np.random.default_rng(3), np.full(2000, 5), 0.01
    limit = 0.015
    passed = np.mean(tails(draw(rng, sizes, rate, correlation), sizes, limit) <= 0.05)
    by_groups = clopper_pearson(20, 2000, 0.95)[1]
    assert passed > 0.8 if correlation == 0 else passed > 0.5
    assert by_groups > 0.0144


@pytest.mark.parametrize(("errors", "trials", "limit"), [(0, 299, 0.01), (0, 2995, 0.001), (5, 1049, 0.01)])
def test_independent_screenshots_keep_the_exact_tables(errors, trials, limit):
    wrong = np.arange(trials) < errors
    assert Rate.grouped(wrong, np.arange(trials), 0.95).upper <= limit
    assert Rate.grouped(wrong[:-1], np.arange(trials - 1), 0.95).upper > limit
    assert needed(Errors.of(wrong[:-1], np.arange(trials - 1)), limit, 0.95).screenshots == 1


@given(st.integers(1, 400), st.data())
def test_where_no_group_repeats_every_bound_is_clopper_pearsons(trials, data):
    count = data.draw(st.integers(0, trials))
    rate = Rate.grouped(np.arange(trials) < count, np.arange(trials), 0.95)
    lower, upper = clopper_pearson(count, trials, 0.95)
    assert (rate.lower, rate.upper) == (pytest.approx(lower), pytest.approx(upper))
    assert rate.design_effect == pytest.approx(1)
    assert rate.effective == pytest.approx(trials)
    assert rate.groups == trials


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=120))
def test_groups_never_make_a_bound_bolder(screenshots):
    codes = np.unique([group for group, _ in screenshots], return_inverse=True)[1]
    hits = np.array([hit for _, hit in screenshots])
    rate, (lower, upper) = Rate.grouped(hits, codes, 0.95), clopper_pearson(int(hits.sum()), len(hits), 0.95)
    assert rate.lower <= lower + 1e-12
    assert rate.upper >= upper - 1e-12
    assert rate.lower <= rate.value <= rate.upper
    assert rate.design_effect >= 1
    assert 1 <= rate.effective <= len(hits)
    mirrored = Rate.grouped(~hits, codes, 0.95)
    assert rate.lower == pytest.approx(1 - mirrored.upper)


@given(st.integers(1, 60), st.integers(1, 20))
def test_without_errors_a_group_counts_once(groups, size):
    codes = np.repeat(np.arange(groups), size)
    assert Rate.grouped(np.zeros(len(codes), bool), codes, 0.95).upper == pytest.approx(
        clopper_pearson(0, groups, 0.95)[1]
    )


@given(st.lists(st.integers(0, 15), min_size=1, max_size=80), st.integers(0, 5), st.sampled_from([0.01, 0.05, 0.2]))
def test_what_is_needed_is_enough_and_no_less_is(groups, errors, limit):
    codes = np.unique(groups, return_inverse=True)[1]
    found = Errors.of(np.arange(len(codes)) < errors, codes)
    more = needed(found, limit, 0.95)
    size = found.sizes.typical
    assert more.screenshots == more.groups * size
    assert found.with_clean(more.groups, size).upper(0.95) <= limit
    if more.groups:
        assert found.with_clean(more.groups - 1, size).upper(0.95) > limit
    if found.sizes.worst == 1:
        assert len(groups) + more.screenshots >= trials_needed(found.total, limit, 0.95)


def test_one_more_error_in_an_erring_group_widens_the_bound():
    codes = np.repeat(np.arange(100), 10)
    uppers = [Rate.grouped(np.arange(1000) < errors, codes, 0.95).upper for errors in range(11)]
    assert uppers == sorted(uppers)
