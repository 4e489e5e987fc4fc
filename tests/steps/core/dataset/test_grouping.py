"""Groups and splits: a picture never lies on both sides, and what was settled once stays settled."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from steps.core.dataset.splits import crossings, group_screenshots, split_of


def named(split, start=0):
    """Return the name of a group that the split's hash puts into `split`."""
    return next(f"g{number}" for number in range(start, start + 1000) if split_of(f"g{number}") == split)


def pairs(*found):
    return np.array(found, np.int64).reshape(-1, 2)


def test_a_screenshot_without_a_group_joins_the_earliest_picture_that_it_nearly_equals():
    made = group_screenshots(["a", "b", "c"], [None, "app", None], pairs((0, 2)))
    assert made.groups == ("a", "app", "a")
    assert made.splits == (split_of("a"), split_of("app"), split_of("a"))
    assert made.leaks == {}


def test_a_given_group_in_another_split_than_its_near_duplicate_is_a_leak_of_the_later_one():
    train, test = named("train"), named("test")
    assert group_screenshots(["a", "b"], [train, test], pairs((0, 1))).leaks == {1: 0}
    assert group_screenshots(["a", "b"], [train, named("train", 500)], pairs((0, 1))).leaks == {}


def test_what_leaks_binds_nobody():
    train, test = named("train"), named("test")
    chain = group_screenshots(["a", "b", "c"], [train, test, test], pairs((0, 1), (1, 2)))
    assert chain.leaks == {1: 0}


def test_a_bridge_between_two_splits_goes_with_the_earliest_and_out():
    train, test = named("train"), named("test")
    assert group_screenshots(["a", "b", "c"], [train, test, None], pairs((0, 2), (1, 2))).leaks == {2: 1}


@st.composite
def sets(draw):
    count = draw(st.integers(1, 14))
    groups = draw(st.lists(st.sampled_from([None, "a", "b", "c", "d", "e"]), min_size=count, max_size=count))
    edges = draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=20))
    edges = [(a, b) for a, b in edges if a != b]
    return [f"id{n}" for n in range(count)], groups, pairs(*edges)


@given(sets())
def test_no_accepted_pair_or_group_crosses_splits(made):
    ids, groups, edges = made
    settled = group_screenshots(ids, groups, edges)
    kept = [n for n in range(len(ids)) if n not in settled.leaks]
    at = {n: place for place, n in enumerate(kept)}
    inside = pairs(*[(at[a], at[b]) for a, b in edges.tolist() if a in at and b in at])
    crossed = crossings([settled.groups[n] for n in kept], [str(settled.splits[n]) for n in kept], inside)
    assert crossed == (0, 0)


@given(sets(), st.integers(1, 13))
def test_later_screenshots_never_change_what_earlier_ones_are(made, cut):
    ids, groups, edges = made
    whole = group_screenshots(ids, groups, edges)
    first = pairs(*[(a, b) for a, b in edges.tolist() if max(a, b) < cut])
    before = group_screenshots(ids[:cut], groups[:cut], first)
    assert whole.groups[: len(before.groups)] == before.groups
    assert {n: e for n, e in whole.leaks.items() if n < cut} == before.leaks


def test_crossings_are_counted():
    assert crossings(["a", "a", "b"], ["train", "test", "test"], pairs((0, 2), (1, 2))) == (1, 1)
