"""The thumbnail and its 64-bit perceptual hash."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy.fft import dctn

from steps.core.sample.apps import make_app
from steps.core.sample.scenes import draw_scene, plan_scene
from steps.validate.perceptual_hash import THUMBNAIL_SIDE, perceptual_hash, thumbnail

THUMBS = arrays(np.uint8, (THUMBNAIL_SIDE, THUMBNAIL_SIDE))


def screen(app, number=0):
    return np.asarray(draw_scene(plan_scene(17, make_app(17, app), number)))


def as_jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=80)
    return np.asarray(Image.open(file))


def half_as_large(pixels):
    height, width = pixels.shape[:2]
    return np.asarray(Image.fromarray(pixels).resize((width // 2, height // 2), Image.Resampling.BOX))


def bits(thumb):
    return np.unpackbits(np.frombuffer(perceptual_hash(thumb).to_bytes(8, "big"), np.uint8)).astype(bool)


@given(THUMBS)
def test_a_hash_is_imagehash_s_but_for_bits_that_hardly_leave_the_median(thumb):
    low = dctn(thumb.astype(np.float64), type=2)[:8, :8].ravel() / 4
    above = low - np.median(low)
    differ = bits(thumb) != (above > 0)
    # 32 is 1/32 of a grey level in each of the 1,024 pixels; a cosine is rounded at its fifth decimal.
    assert np.all((above[differ] > -3) & (above[differ] < 35))


@given(st.integers(1, 255))
def test_every_flat_picture_but_a_black_one_has_the_same_hash(level):
    assert perceptual_hash(np.full((32, 32), level, np.uint8)) == 1 << 63


def test_a_black_picture_has_the_hash_zero():
    assert perceptual_hash(np.zeros((32, 32), np.uint8)) == 0


def test_a_hash_does_not_see_a_change_of_one_level_in_one_pixel_of_a_flat_picture():
    thumb = np.full((32, 32), 200, np.uint8)
    thumb[3, 4] += 1
    assert perceptual_hash(thumb) == 1 << 63


@pytest.mark.parametrize("change", [as_jpeg, half_as_large])
@pytest.mark.parametrize("app", range(6))
def test_encoding_and_size_move_a_hash_by_at_most_three_bits(app, change):
    pixels = screen(app)
    before, after = (perceptual_hash(thumbnail(p)) for p in (pixels, change(pixels)))
    assert (before ^ after).bit_count() <= 3


def test_different_screens_have_hashes_far_apart():
    hashes = [perceptual_hash(thumbnail(screen(app, number))) for app in range(4) for number in range(3)]
    assert min((a ^ b).bit_count() for at, a in enumerate(hashes) for b in hashes[:at]) > 8


@pytest.mark.parametrize("size", [(1, 1), (1, 20), (7, 9), (31, 33), (511, 513), (512, 512), (2400, 1081), (300, 5999)])
def test_a_flat_screen_of_any_size_has_a_flat_thumbnail_of_its_luma(size):
    pixels = np.full((*size, 3), (10, 200, 90), np.uint8)
    luma = round(0.299 * 10 + 0.587 * 200 + 0.114 * 90)
    assert np.array_equal(thumbnail(pixels), np.full((32, 32), luma, np.uint8))


@given(st.integers(512, 1400), st.integers(512, 1400), st.integers(0, 2**32 - 1))
def test_halving_first_hardly_differs_from_one_area_average(height, width, seed):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (16, 9, 3), dtype=np.uint8)
    pixels = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    once = cv2.resize(luma, (32, 32), interpolation=cv2.INTER_AREA).astype(int)
    difference = np.abs(thumbnail(pixels) - once)
    # An odd last row is left out and blurs an edge: less than 1/8 of a cell, of 255 levels.
    assert difference.max() <= 32
    assert difference.mean() < 3


def test_a_thumbnail_shows_what_is_where():
    pixels = np.zeros((640, 320, 3), np.uint8)
    pixels[:320, 160:] = 255
    expected = np.zeros((32, 32), np.uint8)
    expected[:16, 16:] = 255
    assert np.array_equal(thumbnail(pixels), expected)
