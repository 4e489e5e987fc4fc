"""Comparisons of screenshots: which features, against which limit, and what drifts."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.validate.appearance import APPEARANCE_COLUMNS
from steps.validate.drift import CATEGORIES, NUMBERS, features_of
from steps.validate.rules import RULES
from tests.steps.drawn import compared


def screens(count, seed=0, **columns):
    """Screenshots of as many apps, each look drawn anew."""
    rng = np.random.default_rng(seed)
    looks = {name: rng.random(count) for name in APPEARANCE_COLUMNS}
    sizes = {"width": np.full(count, 1080), "height": np.full(count, 2400), "format": ["PNG"] * count}
    return pd.DataFrame(sizes | looks | {"group": [f"{seed}-{n}" for n in range(count)]} | columns)


def drifted(comparison):
    return {drift.feature for drift in comparison.drifted}


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_the_shape_of_a_screenshot_does_not_depend_on_how_it_is_held(width, height):
    held = pd.concat([screens(1, width=width, height=height), screens(1, width=height, height=width)])
    found = features_of(held)
    assert found["short side"].tolist() == [min(width, height)] * 2
    assert found["aspect"].prod() == pytest.approx(1)
    assert found["size"].tolist() == [f"{width} x {height}", f"{height} x {width}"]
    assert (found["orientation"] == "landscape").sum() == (width != height)


def test_the_table_that_is_compared_is_left_as_it_is():
    frame = screens(3)
    before = frame.copy()
    features_of(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_all_features_are_compared_with_the_limit_of_the_rule():
    found = compared("drift-reference", "production", screens(50), screens(60, 1))
    assert [drift.feature for drift in found.drifts] == [*NUMBERS, *CATEGORIES]
    assert {drift.limit for drift in found.drifts} == {RULES["drift-reference"].limit}
    assert drifted(found) == set()
    assert found.text == "60 screenshots against the 50 of production."


@pytest.mark.parametrize(
    ("change", "features"),
    [
        ({"brightness": 2.0}, {"brightness"}),
        ({"format": "JPEG"}, {"format"}),
        ({"width": 720, "height": 1600}, {"short side", "size"}),
        ({"width": 2400, "height": 1080}, {"aspect", "size", "orientation"}),
    ],
)
def test_what_differs_drifts_and_nothing_else(change, features):
    assert drifted(compared("drift-champion", "x", screens(200), screens(200, 1, **change))) == features


def test_many_screenshots_of_one_app_prove_nothing():
    new = screens(200, 1, brightness=2.0, group="one app")
    found = compared("drift-champion", "x", screens(200), new)
    assert drifted(found) == set()
    assert next(drift for drift in found.drifts if drift.feature == "brightness").distance == 1
