"""The head: what tiles add to the logit sums to it, whatever the order of screenshots, and nothing malformed passes."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from steps.core.common.errors import UserError
from steps.network.head import Head, pool

WIDTH = 3


def drawn(counts, seed=0, *, steps=4):
    """Features of screenshots with an overview and so many squares, on a coarse grid, so that maxima tie."""
    random = np.random.default_rng(seed)
    index = np.concatenate([np.arange(count + 1) for count in counts])
    screenshot = np.repeat(np.arange(len(counts)), np.array(counts) + 1)
    return random.integers(-steps, steps, (len(index), WIDTH)).astype(np.float32), index, screenshot


def head(seed=1):
    random = np.random.default_rng(seed)
    return Head.of(random.normal(size=3 * WIDTH), 0.25)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 99))
def test_a_logit_is_the_bias_and_what_its_tiles_add(counts, seed):
    features, index, screenshot = drawn(counts, seed)
    whole = np.bincount(screenshot, head().evidence(features, index, screenshot)) + head().bias
    assert head().logits(features, index, screenshot) == pytest.approx(whole, abs=1e-6)
    assert head().scores(features, index, screenshot) == pytest.approx(expit(whole), abs=1e-6)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 99))
def test_pooling_is_overview_mean_and_maximum_of_each_screenshot(counts, seed):
    features, index, screenshot = drawn(counts, seed)
    for number, row in enumerate(pool(features, index, screenshot)):
        own = features[screenshot == number]
        assert row == pytest.approx(np.concatenate([own[0], own[1:].mean(0), own[1:].max(0)]), abs=1e-6)


def test_a_tile_says_what_a_screenshot_full_of_it_would_score():
    features, index, screenshot = drawn([1, 3])
    features[4:] = features[3]
    found = head().tile_scores(features, index, screenshot)
    assert found[[1, 3]] == pytest.approx(head().scores(features, index, screenshot))


def test_a_missing_number_in_one_tile_leaves_its_screenshot_alone_without_a_score():
    features, index, screenshot = drawn([2, 2])
    features[1, 0] = np.nan
    assert np.isnan(head().scores(features, index, screenshot)).tolist() == [True, False]


def test_calibration_moves_logits_and_nothing_else():
    features, index, screenshot = drawn([2, 1])
    before = head().logits(features, index, screenshot)
    assert head().calibrated(2.0, -1.0).logits(features, index, screenshot) == pytest.approx(2 * before - 1)


@pytest.mark.parametrize(("index", "screenshot"), [([1, 2], [0, 0]), ([0], [0]), ([0, 1, 1], [0, 0, 1])])
def test_a_screenshot_without_overview_or_squares_is_refused(index, screenshot):
    with pytest.raises(UserError, match="lacks its overview or its squares"):
        pool(np.zeros((len(index), WIDTH)), np.array(index), np.array(screenshot))


def test_features_of_another_width_are_refused():
    with pytest.raises(UserError, match="the head knows 3"):
        head().logits(np.zeros((2, 4), np.float32), np.array([0, 1]), np.array([0, 0]))


def test_a_head_comes_back_from_its_file(tmp_path):
    head().write(tmp_path)
    assert (Head.read(tmp_path).weights == head().weights).all()
    assert Head.read(tmp_path).bias == head().bias


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"more": 1},
        {"mean": [1.0]},
        {"overview": "abc"},
        {"maximum": [float("nan")] * WIDTH},
        {"bias": None},
        {"overview": [], "mean": [], "maximum": []},
    ],
)
def test_what_is_no_head_is_refused(tmp_path, change):
    (tmp_path / "head.json").write_text(json.dumps({**head().to_dict(), **change}))
    with pytest.raises(UserError, match="head"):
        Head.read(tmp_path)
