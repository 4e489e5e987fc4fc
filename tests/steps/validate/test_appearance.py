"""How pictures look, and which looks are odd: on drawn screens, on photographs, on pictures of any size."""

import io
from dataclasses import astuple, replace

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from sklearn.datasets import load_sample_image

from steps.validate.appearance import (
    APPEARANCE_COLUMNS,
    BLURRY_BELOW,
    DARK_BELOW,
    LITTLE_INFORMATION_BELOW,
    Appearance,
    appearance_of,
    not_phone_reasons,
)


def is_dark(look):
    return look.dark_quantile < DARK_BELOW


def is_blurry(look):
    return look.sharpness < BLURRY_BELOW


def is_low_information(look):
    return look.entropy < LITTLE_INFORMATION_BELOW


def screen(width=720, height=1600, *, ground=(250, 250, 250), ink=(20, 20, 20)):
    """A list of 20 entries with a coloured icon and two lines of text each."""
    pixels = np.full((height, width, 3), ground, np.uint8)
    step, scale = height // 20, width / 720
    for row in range(20):
        top = row * step
        cv2.circle(pixels, (int(60 * scale), top + step // 2), max(2, step // 4), (40, 90 + 5 * row, 200), -1)
        for line, text in enumerate((f"Entry number {row}", "somewhat longer second line")):
            at = int(120 * scale), top + int(step * (0.45 + 0.35 * line))
            cv2.putText(pixels, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.9 * scale, ink, max(1, round(2 * scale)))
    return pixels


def solid(*colour):
    return np.full((1600, 720, 3), colour, np.uint8)


def as_jpeg(pixels, quality=90):
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=quality)
    return np.asarray(Image.open(data).convert("RGB"))


def test_a_grey_picture_looks_grey():
    look = appearance_of(solid(51, 51, 51))
    assert look == Appearance(
        brightness=pytest.approx(0.2),
        contrast=pytest.approx(0, abs=1e-6),
        dark_quantile=0.2,
        light_quantile=0.2,
        red=0.2,
        green=0.2,
        blue=0.2,
        saturation=0,
        colourfulness=0,
        entropy=0,
        detail=0,
        sharpness=1,
        flatness=1,
    )


def test_a_colour_is_seen_in_its_channel_and_its_saturation():
    look = appearance_of(solid(255, 0, 0))
    assert (look.red, look.green, look.blue, look.saturation) == (1, 0, 0, 1)
    assert look.brightness == pytest.approx(0.299, abs=0.01)


def test_half_black_and_half_white_have_one_bit_and_the_largest_contrast():
    pixels = solid(0, 0, 0)
    pixels[800:] = 255
    look = appearance_of(pixels)
    assert (look.brightness, look.contrast) == (pytest.approx(0.5, abs=0.01), pytest.approx(0.5, abs=0.01))
    # The one row of the reduced picture that holds the border is a value of its own.
    assert look.entropy == pytest.approx(1, abs=0.12)
    assert (look.dark_quantile, look.light_quantile) == (1, 0)


def test_the_colourfulness_is_that_of_the_paper():
    pixels = solid(200, 0, 0)
    pixels[:, 360:] = (0, 0, 200)
    values = pixels.reshape(-1, 3).astype(float)
    opponents = np.stack([values[:, 0] - values[:, 1], (values[:, 0] + values[:, 1]) / 2 - values[:, 2]])
    known = np.hypot(*opponents.std(axis=1)) + 0.3 * np.hypot(*opponents.mean(axis=1))
    assert appearance_of(pixels).colourfulness == pytest.approx(known, rel=0.02)


@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 70), st.integers(1, 70), st.just(3)),
        elements=st.integers(0, 255),
        fill=st.integers(0, 255),
    )
)
def test_every_picture_has_a_look_within_the_stated_ranges(pixels):
    look = appearance_of(pixels)
    assert np.isfinite(astuple(look)).all()
    bounded = [getattr(look, name) for name in APPEARANCE_COLUMNS if name not in ("colourfulness", "entropy", "detail")]
    assert 0 <= min(bounded) <= max(bounded) <= 1 + 1e-9
    assert 0 <= look.entropy <= 8
    assert min(look.colourfulness, look.detail) >= 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (1919, 1079), (513, 255), (257, 512)])
def test_pictures_of_any_size_have_a_look(shape):
    pixels = np.full((*shape, 3), 102, np.uint8)
    assert appearance_of(pixels).brightness == pytest.approx(0.4)


def test_the_look_hardly_depends_on_the_resolution():
    small, large = appearance_of(screen(720, 1600)), appearance_of(screen(1440, 3200))
    for name in ("brightness", "contrast", "saturation", "red", "green", "blue", "flatness"):
        assert getattr(small, name) == pytest.approx(getattr(large, name), abs=0.03)


def test_the_picture_is_left_as_it_was():
    pixels = screen()
    pixels.setflags(write=False)
    assert appearance_of(pixels) == appearance_of(pixels.copy())


def test_a_screen_nearly_black_is_dark_and_bright_writing_on_black_is_not():
    assert is_dark(appearance_of(screen(ground=(8, 8, 8), ink=(40, 40, 40)) // 3))
    assert not is_dark(appearance_of(screen(ground=(0, 0, 0), ink=(255, 255, 255))))
    assert not is_dark(appearance_of(screen()))


@pytest.mark.parametrize("width", [480, 720, 1440])
def test_a_blurred_screen_is_blurry_and_a_crisp_one_is_not(width):
    pixels = screen(width, width * 20 // 9)
    assert not is_blurry(appearance_of(pixels))
    assert is_blurry(appearance_of(cv2.GaussianBlur(pixels, (0, 0), 0.005 * width)))
    assert not is_blurry(appearance_of(as_jpeg(pixels, 60)))


def test_an_empty_screen_is_no_blurry_one_but_has_little_information():
    look = appearance_of(solid(240, 240, 240))
    assert is_low_information(look)
    assert not is_blurry(look)
    assert not is_low_information(appearance_of(screen()))


def not_phone_reason(width, height, look, fmt, *, camera):
    row = {"width": width, "height": height, "format": fmt, "flatness": look.flatness, "camera": camera}
    return not_phone_reasons(pd.DataFrame([row])).iloc[0]


@pytest.mark.parametrize(
    "size",
    [(1080, 1920), (1080, 2400), (720, 1600), (2400, 1080), (800, 480), (1920, 1080), (1080, 2640), (1812, 2176)],
)
def test_sizes_of_phones_are_no_reason(size):
    assert not_phone_reason(*size, appearance_of(screen()), "PNG", camera=False) is None


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((320, 466), "320 x 466 pixels: phones show at least 360 across"),
        ((466, 320), "466 x 320 pixels: phones show"),
        ((1080, 8000), "1080 x 8000 pixels: no phone has this shape"),
        ((3000, 1000), "3000 x 1000 pixels: no phone has this shape"),
        ((1000, 1000), "no phone has this shape"),
        ((1280, 800), "1280 x 800 pixels: the size of a tablet or a desktop"),
        ((1366, 768), "the size of a tablet or a desktop"),
        ((2560, 1600), "the size of a tablet or a desktop"),
    ],
)
def test_other_sizes_are_told_with_their_reason(size, reason):
    assert reason in not_phone_reason(*size, appearance_of(screen()), "PNG", camera=False)


def test_a_camera_is_the_surest_reason():
    assert not_phone_reason(320, 466, appearance_of(screen()), "JPEG", camera=True) == "its EXIF data name a camera"


def test_a_photograph_as_jpeg_is_told_from_a_screen_as_jpeg():
    photograph = cv2.resize(load_sample_image("flower.jpg"), (1280, 720), interpolation=cv2.INTER_CUBIC)
    seen = appearance_of(as_jpeg(photograph))
    assert "photographs" in not_phone_reason(1280, 720, seen, "JPEG", camera=False)
    assert not_phone_reason(1280, 720, seen, "PNG", camera=False) is None
    assert not_phone_reason(720, 1600, appearance_of(as_jpeg(screen())), "JPEG", camera=False) is None


def test_a_table_is_judged_row_by_row_on_its_own_index():
    look = appearance_of(screen())
    frame = pd.DataFrame(
        {
            "width": [720, 320, 720, 720],
            "height": [1600, 466, 1600, 1600],
            "format": ["PNG", "PNG", "JPEG", "JPEG"],
            "flatness": [look.flatness, look.flatness, 0.0, np.nan],
            "camera": False,
        },
        index=["a", "b", "c", "d"],
    )
    reasons = not_phone_reasons(frame)
    assert reasons.notna().to_dict() == {"a": False, "b": True, "c": True, "d": False}
    assert not_phone_reasons(frame.iloc[:0]).empty
    assert reasons["c"] == not_phone_reason(720, 1600, replace(look, flatness=0.0), "JPEG", camera=False)
    assert not_phone_reasons(frame.assign(camera=[False, False, False, True])).iloc[3] == "its EXIF data name a camera"
