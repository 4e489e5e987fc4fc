"""The tile plan: an overview, and squares that cover the screenshot, the same on every platform."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from steps.core.tiles.tiling import MAX_SIDE, OVERVIEW, Tile, plan_squares, plan_tiles

# Any size at all, and those of pictures: of a very long one, a plan has up to 20,000 tiles.
SIDES = st.one_of(st.integers(1, MAX_SIDE), st.integers(200, 4_000))


def plan_on_a_phone(width, height):
    """The plan as Kotlin computes it, in 32-bit Ints; an independent way to it, with a running remainder."""
    short, long = (width, height) if width < height else (height, width)
    count = checked(long + short - 1) // short
    places = []
    offset, left_over = 0, 0
    for _ in range(count):
        places.append((offset, 0, short) if width >= height else (0, offset, short))
        if count > 1:
            left_over = checked(left_over + long - short)
            offset = checked(offset + left_over // (count - 1))
            left_over %= count - 1
    return places


def checked(number):
    assert -(2**31) <= number < 2**31
    return number


@given(SIDES, SIDES)
@example(MAX_SIDE, 1)
@example(MAX_SIDE, MAX_SIDE)
def test_tiles_are_squares_of_the_short_side_inside_the_screenshot(width, height):
    for tile in plan_squares(width, height):
        assert tile.width == tile.height == min(width, height)
        assert 0 <= tile.left <= width - tile.width
        assert 0 <= tile.top <= height - tile.height


@given(SIDES, SIDES)
@example(MAX_SIDE, 1)
@example(1, MAX_SIDE)
@example(MAX_SIDE, MAX_SIDE - 1)
def test_tiles_leave_no_pixel_out_none_stands_twice_and_they_are_evenly_spaced(width, height):
    tiles = plan_squares(width, height)
    starts = [max(tile.left, tile.top) for tile in tiles]
    assert starts[0] == 0
    assert starts[-1] == max(width, height) - tiles[0].width
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    assert all(0 < gap <= tiles[0].width for gap in gaps)
    assert max(gaps, default=0) - min(gaps, default=0) <= 1


@given(SIDES, SIDES)
def test_there_are_as_many_squares_as_cover_the_screenshot_and_no_more(width, height):
    short, long = sorted((width, height))
    count = len(plan_squares(width, height))
    assert (count - 1) * short < long <= count * short


@given(SIDES, SIDES)
def test_a_turned_screenshot_has_the_turned_plan(width, height):
    turned = [(tile.top, tile.left) for tile in plan_squares(height, width)]
    assert [(tile.left, tile.top) for tile in plan_squares(width, height)] == turned
    assert plan_squares(width, height) == plan_squares(width, height)


@given(SIDES, SIDES)
@example(MAX_SIDE, 1)
@example(MAX_SIDE, 2)
@example(MAX_SIDE, MAX_SIDE - 1)
@example(3, MAX_SIDE)
def test_a_phone_computes_the_same_plan(width, height):
    assert [(tile.left, tile.top, tile.width) for tile in plan_squares(width, height)] == plan_on_a_phone(width, height)


def test_no_product_in_the_plan_leaves_32_bits():
    # (long - short) * (count - 1) is the largest; count - 1 < long / short, so that short = 1 bounds it.
    assert (MAX_SIDE - 1) * (MAX_SIDE - 1) < 2**31
    largest = max((MAX_SIDE - short) * (-(-MAX_SIDE // short) - 1) for short in range(1, MAX_SIDE + 1))
    assert largest == (MAX_SIDE - 1) * (MAX_SIDE - 1)


@pytest.mark.parametrize(
    ("size", "tops"),
    [((1080, 1920), [0, 840]), ((1080, 2400), [0, 660, 1320]), ((1080, 1080), [0]), ((1, 1), [0]), ((2, 5), [0, 1, 3])],
)
def test_known_plans(size, tops):
    assert [tile.top for tile in plan_squares(*size)] == tops


def test_the_largest_sizes_have_plans():
    assert len(plan_squares(MAX_SIDE, 1)) == MAX_SIDE
    assert len(plan_squares(MAX_SIDE, MAX_SIDE)) == 1


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5), (MAX_SIDE + 1, 5)])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(ValueError, match="pixels"):
        plan_squares(*size)
    with pytest.raises(ValueError, match="pixels"):
        plan_tiles(*size)


@given(SIDES, SIDES)
def test_the_whole_screenshot_comes_first_and_the_squares_follow(width, height):
    plan = plan_tiles(width, height)
    assert plan[OVERVIEW] == Tile(0, 0, width, height)
    assert plan[1:] == plan_squares(width, height)
