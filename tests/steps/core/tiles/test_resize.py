"""The resize rule: the same integers as the formula in its docstring, and close to what Android's Skia makes."""

import cv2
import numpy as np
import pytest
import skia
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from steps.core.tiles.resize import bilinear, halve, halve_along, resize

SIZES = st.integers(32, 512)


def random_pixels(height, width, channels=3, seed=0):
    return np.random.default_rng([height, width, channels, seed]).integers(
        0, 256, (height, width, channels), dtype=np.uint8
    )


def axis_on_a_phone(side, size):
    """(low, weight) for each output index, in the integer operations of a 32-bit Int in Kotlin."""
    taps = []
    for i in range(size):
        position = checked((2 * i + 1) * side - size)
        low = position // (2 * size)
        scaled = checked((position - low * 2 * size) * 128)
        weight, rest = scaled // size, scaled % size
        if 2 * rest > size or (2 * rest == size and weight % 2 == 1):
            weight += 1
        if low < 0:
            low, weight = 0, 0
        if low >= side - 1:
            low, weight = side - 1, 0
        taps.append((low, weight))
    return taps


def checked(number):
    assert -(2**31) <= number < 2**31
    return number


def resize_on_a_phone(pixels, size):
    """The rule's last step for one channel of a square: rows, then columns, one value at a time."""
    side = len(pixels)
    taps = axis_on_a_phone(side, size)
    result = []
    for low, down in taps:
        below = min(low + 1, side - 1)
        row = []
        for left, across in taps:
            right = min(left + 1, side - 1)
            top = (256 - across) * pixels[low][left] + across * pixels[low][right]
            bottom = (256 - across) * pixels[below][left] + across * pixels[below][right]
            row.append(checked((256 - down) * top + down * bottom + 32768) >> 16)
        result.append(row)
    return result


@given(st.integers(2, 300), st.integers(2, 300), st.sampled_from([1, 3, 4]), st.integers(0, 99))
def test_halving_is_the_integer_mean_of_two_by_two_half_up(height, width, channels, seed):
    pixels = random_pixels(height, width, channels, seed)
    even = pixels[: height // 2 * 2, : width // 2 * 2].astype(int)
    total = even[0::2, 0::2] + even[1::2, 0::2] + even[0::2, 1::2] + even[1::2, 1::2]
    assert np.array_equal(halve(pixels).reshape(total.shape), (total + 2) >> 2)


def test_halving_leaves_odd_edges_out():
    square = np.array([[0, 1, 9], [1, 0, 9], [9, 9, 9]], np.uint8)[..., None].repeat(3, axis=2)
    assert halve(square).tolist() == [[[1, 1, 1]]]


@given(st.integers(2, 99), st.integers(2, 99), st.sampled_from([0, 1]), st.integers(0, 99))
def test_halving_one_side_is_the_integer_mean_of_two_half_up(height, width, axis, seed):
    pixels = random_pixels(height, width, 3, seed)
    lines = np.moveaxis(pixels.astype(int), axis, 0)
    count = len(lines) // 2
    means = (lines[0 : 2 * count : 2] + lines[1 : 2 * count : 2] + 1) >> 1
    assert np.array_equal(halve_along(pixels, axis), np.moveaxis(means, 0, axis))


@given(SIZES, st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from([3, 4]), st.integers(0, 99))
@example(256, 281, 281, 3, 0)
@example(256, 391, 391, 4, 0)
@example(512, 98, 98, 3, 0)
@example(512, 1022, 1022, 3, 0)
@example(256, 281, 300, 3, 0)
def test_the_last_step_is_the_formula_bit_for_bit(size, drawn, also_drawn, channels, seed):
    height, width = (1 + number % (2 * size - 1) for number in (drawn, also_drawn))
    pixels = random_pixels(height, width, channels, seed)
    assert np.array_equal(resize(pixels, size), bilinear(pixels, size))


@given(SIZES, st.integers(0, 10**6))
def test_the_formula_is_that_of_a_phone_with_32_bit_integers(size, drawn):
    side = 1 + drawn % (2 * size - 1)
    line = np.random.default_rng(drawn).integers(0, 2, (side, 1, 1), dtype=np.uint8) * 255
    square = line.repeat(side, axis=1)
    ours = bilinear(square, size)[:, 0, 0]
    taps = axis_on_a_phone(side, size)
    values = [int(value) for value in line[:, 0, 0]]
    lines = [(256 - weight) * values[low] + weight * values[min(low + 1, side - 1)] for low, weight in taps]
    assert ours.tolist() == [checked(256 * value + 32768) >> 16 for value in lines]


@pytest.mark.parametrize(("side", "size"), [(33, 32), (40, 64), (1, 32), (2, 32), (63, 32), (50, 33)])
def test_a_whole_square_is_resized_as_on_a_phone(side, size):
    square = random_pixels(side, side, 1)
    assert resize(square, size).reshape(size, size).tolist() == resize_on_a_phone(square[..., 0].tolist(), size)


@pytest.mark.parametrize("side", [281, 293, 405, 511])
def test_exact_halves_are_rounded_to_even_where_opencv_does_not(side):
    pixels = random_pixels(side, side)
    by_opencv = cv2.resize(pixels, (256, 256), interpolation=cv2.INTER_LINEAR_EXACT)
    assert np.abs(by_opencv.astype(int) - bilinear(pixels, 256)).max() <= 2
    assert np.array_equal(resize(pixels, 256), bilinear(pixels, 256))


@given(st.integers(1, 400), st.integers(32, 200), st.integers(0, 255))
def test_a_plain_square_stays_plain_at_any_size(side, size, value):
    resized = resize(np.full((side, side, 3), value, np.uint8), size)
    assert resized.shape == (size, size, 3)
    assert (resized == value).all()


def test_an_overview_is_halved_on_both_sides_first_and_then_on_the_longer():
    whole = random_pixels(130, 600)
    both = halve(halve(whole))
    assert (resize(whole, 32) == bilinear(halve_along(halve_along(both, 1), 1), 32)).all()


def test_exact_halvings_need_no_interpolation():
    square = random_pixels(128, 128)
    assert (resize(square, 32) == halve(halve(square))).all()
    assert (resize(square, 128) == square).all()


def test_a_view_into_a_larger_picture_is_resized_as_a_copy_of_it():
    square = random_pixels(400, 500, 4)[30:331, 77:378]
    assert np.array_equal(resize(square, 64), resize(square.copy(), 64))


def text_like(side):
    """Thin dark and coloured strokes on light ground, the hardest thing to shrink."""
    pixels = np.full((side, side, 4), 245, np.uint8)
    random = np.random.default_rng(side)
    for _ in range(side):
        x, y, length = random.integers(0, side, 3)
        colour = random.integers(0, 120, 3)
        if random.random() < 0.5:
            pixels[y : y + 2, x : x + length // 8, :3] = colour
        else:
            pixels[y : y + length // 8, x : x + 2, :3] = colour
    pixels[..., 3] = 255
    return pixels


def by_skia(pixels, size):
    """What Android's createScaledBitmap(filter=true) does: Skia's linear filter without mipmaps."""
    image = skia.Image.fromarray(np.ascontiguousarray(pixels), colorType=skia.kRGBA_8888_ColorType)
    surface = skia.Surface(size, size)
    linear = skia.SamplingOptions(skia.FilterMode.kLinear, skia.MipmapMode.kNone)
    with surface as canvas:
        canvas.drawImageRect(image, skia.Rect(size, size), linear, skia.Paint())
    return surface.makeImageSnapshot().toarray(colorType=skia.kRGBA_8888_ColorType)


@pytest.mark.parametrize(("side", "size"), [(1080, 224), (1440, 224), (1125, 224), (1080, 192), (720, 160), (828, 320)])
def test_the_last_step_is_skias_and_an_antialiased_resize_is_not(side, size):
    screenshot = text_like(side)
    halved = screenshot
    while len(halved) >= 2 * size:
        halved = halve(halved)
    phone = by_skia(halved, size)[..., :3].astype(int)
    ours = np.abs(resize(screenshot, size)[..., :3] - phone)
    assert ours.max() <= 2
    assert ours.mean() <= 0.05
    antialiased = Image.fromarray(screenshot[..., :3]).resize((size, size), Image.Resampling.BILINEAR)
    far = np.abs(np.asarray(antialiased) - phone)
    assert far.max() >= 30
    assert (far > 8).mean() > 0.1
