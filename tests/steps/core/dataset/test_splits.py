"""Splits follow groups, for ever."""

from collections import Counter

import pytest

from steps.core.dataset.splits import Split, group_of, split_of


@pytest.mark.parametrize(
    ("group", "split"),
    [("com.example.mail", "calibration"), ("org.tilegate", "test"), ("a", "test"), ("c", "train")],
)
def test_splits_of_released_versions_stand(group, split):
    """These values were released: a change moves screenshots between splits and spoils every earlier test."""
    assert split_of(group) == split


def test_shares_are_half_a_tenth_a_fifth_a_fifth():
    counts = Counter(split_of(f"app-{number}") for number in range(20_000))
    shares = {split: counts[split] / 20_000 for split in Split}
    wanted = {Split.TRAIN: 0.5, Split.VALIDATION: 0.1, Split.CALIBRATION: 0.2, Split.TEST: 0.2}
    assert shares == pytest.approx(wanted, abs=0.015)


def test_the_group_is_the_given_one_else_the_app_else_the_session():
    slices = {"group": "g", "app": "a", "session": "s"}
    assert group_of(slices) == "g"
    assert group_of({"app": "a", "session": "s"}) == "a"
    assert group_of({"session": "s"}) == "s"
    assert group_of({"group": ""}) is None
