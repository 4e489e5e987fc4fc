"""The tile plan: squares that cover the screenshot, the same on every platform."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.tiles import MAX_SIDE, plan_tiles

SIDES = st.integers(1, 2_000)


@given(SIDES, SIDES)
def test_tiles_are_squares_of_the_short_side_inside_the_screenshot(width, height):
    for tile in plan_tiles(width, height):
        assert tile.side == min(width, height)
        assert 0 <= tile.left <= width - tile.side
        assert 0 <= tile.top <= height - tile.side


@given(SIDES, SIDES)
def test_tiles_leave_no_pixel_out_and_none_stands_twice(width, height):
    tiles = plan_tiles(width, height)
    starts = [max(tile.left, tile.top) for tile in tiles]
    assert starts[0] == 0
    assert starts[-1] == max(width, height) - tiles[0].side
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    assert all(0 < gap <= tiles[0].side for gap in gaps)
    assert max(gaps, default=0) - min(gaps, default=0) <= 1


@given(SIDES, SIDES)
def test_no_fewer_squares_could_cover_the_screenshot(width, height):
    short, long = sorted((width, height))
    assert (len(plan_tiles(width, height)) - 1) * short < long


@given(SIDES, SIDES)
def test_a_turned_screenshot_has_the_turned_plan(width, height):
    turned = [(tile.top, tile.left) for tile in plan_tiles(height, width)]
    assert [(tile.left, tile.top) for tile in plan_tiles(width, height)] == turned


@pytest.mark.parametrize(
    ("size", "tops"),
    [((1080, 1920), [0, 840]), ((1080, 2400), [0, 660, 1320]), ((1080, 1080), [0]), ((1, 1), [0]), ((2, 5), [0, 1, 3])],
)
def test_known_plans(size, tops):
    assert [tile.top for tile in plan_tiles(*size)] == tops


def test_the_largest_sizes_have_plans():
    assert len(plan_tiles(MAX_SIDE, 1)) == MAX_SIDE
    assert len(plan_tiles(MAX_SIDE, MAX_SIDE)) == 1


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5), (MAX_SIDE + 1, 5)])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(ValueError, match="pixels"):
        plan_tiles(*size)
