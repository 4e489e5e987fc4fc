"""The appearance of a picture in a dozen numbers, and the limits from which it is odd.

The kinds of oddity are CleanVision's (https://github.com/cleanlab/cleanvision): dark by the 99th percentile of the
luma, little information by its entropy, blurry by its edges. The limits were set on 1,094 real screenshots, so that
what they flag deserves it: games of bright lines on black, dark themes and empty states are ordinary screens.
"""

from dataclasses import dataclass, fields
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from steps.core.tiles.resize import Pixels, halve

# Of `dark_quantile`: even the brightest hundredth of the picture is dark.
DARK_BELOW = 0.25
# Of `entropy`: nearly all of the picture has one luma.
LITTLE_INFORMATION_BELOW = 0.5
# Of `sharpness`: there is contrast, and no crisp edge.
BLURRY_BELOW = 0.4
# Foldables show 6:5 unfolded and 2.73:1 on the cover; scrolled captures and banners lie outside.
ASPECTS = (1.19, 2.75)
# 360 is the narrowest screen that phones still report; smaller pictures were scaled down, or are from before 2012.
SHORT_SIDE_FROM = 360
# A JPEG of a screen keeps its flat areas; nine in ten of 150 variants of five photographs lie below.
PHOTOGRAPH_BELOW = 0.012
# Wider than 1280 and squarer than 1.65: tablets and monitors (16:10, 3:2, 4:3), no phone held sideways.
LARGE_LANDSCAPE = (1280, 1.65)
DESKTOP_SIZES = frozenset({(1360, 768), (1366, 768), (1536, 864)})

_SIDE = 128
_ROWS = 512
_ROW_STEP = 16
_FAINT = 16
_LEVELS = np.arange(256) / 255


@dataclass(frozen=True, slots=True)
class Appearance:
    """All finite, from 0 to 1 unless said otherwise; sharpness and flatness on every 16th row, the rest at 128 x 128.

    brightness, contrast: mean and standard deviation of the luma (0.299 R + 0.587 G + 0.114 B, gamma-encoded).
    dark_quantile, light_quantile: its 99th and its 1st percentile: how bright the darkest picture's brightest parts
    are, and the reverse.
    red, green, blue, saturation: means; saturation is HSV's.
    colourfulness: of Hasler and Suesstrunk (2003), 0 for grey to some 190 (channels counted from 0 to 255).
    entropy: of the histogram of 256 luma levels, 0 to 8 bits.
    detail: variance of the Laplacian of the luma, up to some 10.
    sharpness: the steepest step of the luma between neighbours in a row, as a share of the largest step across 1 % of
    the width: 1 if some edge is crisp, or if nothing contrasts. 94 % of 1,094 screenshots are below the limit when
    blurred by 0.3 % of their width, and none before; the variance of the Laplacian tells 2 % of them apart.
    flatness: the share of pixels in horizontal stretches of one exact colour, at least 1/20 of the width: user
    interfaces are full of them, photographs have next to none.
    """

    brightness: float
    contrast: float
    dark_quantile: float
    light_quantile: float
    red: float
    green: float
    blue: float
    saturation: float
    colourfulness: float
    entropy: float
    detail: float
    sharpness: float
    flatness: float


APPEARANCE_COLUMNS = tuple(field.name for field in fields(Appearance))


def appearance_of(pixels: Pixels) -> Appearance:
    """Measure a picture, uint8 RGB [height, width, 3]: about 1 ms for one of 1080 x 1920."""
    small = _reduced(pixels)
    luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    shares = np.bincount(luma.ravel(), minlength=256) / luma.size
    brightness = float(shares @ _LEVELS)
    dark, light = np.searchsorted(np.cumsum(shares), (0.99 - 1e-9, 0.01 - 1e-9)) / 255
    red, green, blue = (float(mean) / 255 for mean in cv2.mean(small)[:3])
    seen = shares[shares > 0]
    rows = np.ascontiguousarray(pixels[min(_ROW_STEP, pixels.shape[0]) // 2 :: _ROW_STEP])
    return Appearance(
        brightness=brightness,
        contrast=float(np.sqrt(shares @ (_LEVELS - brightness) ** 2)),
        dark_quantile=float(dark),
        light_quantile=float(light),
        red=red,
        green=green,
        blue=blue,
        saturation=float(cv2.mean(cv2.cvtColor(small, cv2.COLOR_RGB2HSV))[1]) / 255,
        colourfulness=_colourfulness(small),
        entropy=abs(float(seen @ np.log2(seen))),
        detail=(float(cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))[1].item()) / 255) ** 2,
        sharpness=_sharpness(rows),
        flatness=_flatness(rows),
    )


def not_phone_reasons(frame: pd.DataFrame) -> pd.Series:
    """Return for each row why it is hardly a phone's screenshot, or None: an object column on the frame's index.

    Columns: width and height (pixels, positive), format ("PNG", "JPEG", "WEBP"), flatness (of `Appearance`) and camera
    (bool: the file's EXIF data name one).
    """
    width, height = frame["width"].to_numpy(np.int64), frame["height"].to_numpy(np.int64)
    short, long = np.minimum(width, height), np.maximum(width, height)
    aspect = long / np.maximum(short, 1)
    desktop = np.logical_or.reduce([(width == w) & (height == h) for w, h in DESKTOP_SIZES])
    large = (width > height) & (width >= LARGE_LANDSCAPE[0]) & (aspect < LARGE_LANDSCAPE[1])
    photograph = (frame["format"] == "JPEG").to_numpy() & (frame["flatness"] < PHOTOGRAPH_BELOW).to_numpy()
    reasons = pd.Series([None] * len(frame), index=frame.index, dtype=object)
    # The last one that is written counts: the surest evidence comes last.
    for hit, text in (
        (photograph, "a JPEG with hardly any flat area, as photographs are"),
        (short < SHORT_SIDE_FROM, f"{{}} pixels: phones show at least {SHORT_SIDE_FROM} across"),
        (large | desktop, "{} pixels: the size of a tablet or a desktop"),
        ((aspect < ASPECTS[0]) | (aspect > ASPECTS[1]), "{} pixels: no phone has this shape"),
        (frame["camera"].to_numpy(bool), "its EXIF data name a camera"),
    ):
        at = np.flatnonzero(hit)
        sizes = zip(width[at].tolist(), height[at].tolist(), strict=True)
        reasons.iloc[at] = [text.format(f"{w} x {h}") for w, h in sizes]
    return reasons


def _reduced(pixels: Pixels) -> Pixels:
    """Return uint8 [128, 128, 3]: rows are skipped, odd ones left out, to keep to halvings; other ratios are slow."""
    small: Pixels = pixels[:: max(1, pixels.shape[0] // _ROWS)]
    while min(small.shape[:2]) >= 2 * _SIDE:
        small = halve(small)
    return cast("Pixels", cv2.resize(small, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR))


def _colourfulness(small: Pixels) -> float:
    red, green, blue = cv2.split(small.astype(np.float32))
    means, deviations = cv2.meanStdDev(cv2.merge([red - green, (red + green) / 2 - blue]))
    return float(np.hypot(*deviations.ravel()) + 0.3 * np.hypot(*means.ravel()))


def _sharpness(rows: Pixels) -> float:
    luma = cv2.cvtColor(rows, cv2.COLOR_RGB2GRAY)
    far = max(2, round(luma.shape[1] / 100))
    largest = _largest_step(luma, far)
    return 1.0 if largest < _FAINT else min(1.0, _largest_step(luma, 1) / largest)


def _largest_step(luma: npt.NDArray[np.uint8], distance: int) -> int:
    if luma.shape[1] <= distance:
        return 0
    return int(cv2.absdiff(luma[:, distance:], luma[:, :-distance]).max())


def _flatness(rows: Pixels) -> float:
    width = rows.shape[1]
    if width == 1:
        return 1.0
    nothing = (0, 0, 0)
    equal = cv2.inRange(cv2.absdiff(rows[:, 1:], rows[:, :-1]), nothing, nothing)
    stretch = np.ones((1, width // 20 | 1), np.uint8)
    return float(cv2.countNonZero(cv2.morphologyEx(equal, cv2.MORPH_OPEN, stretch)) / equal.size)
