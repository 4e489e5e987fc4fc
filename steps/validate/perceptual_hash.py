"""A picture in 64 bits: a luma thumbnail of the whole screen, and its perceptual hash.

The hash is pHash as imagehash 4.3 computes it (`imagehash.phash`, after "Looks Like It", hackerfactor.com, 2011): a
DCT-II of 32 x 32 luma, its 8 x 8 lowest frequencies, a bit for each one above their median, row by row, the first bit
highest. Two things differ, both because much of a phone's screen is flat, and a flat picture's frequencies are zero
but for rounding:

- The DCT is taken in whole numbers. It is exact and the same on every machine, and a flat picture has exactly zero.
- A bit is set only from 1/32 of a grey level above the median on. On 1,094 real screenshots, seven harmless changes
  each (JPEG of quality 80, three quarters or half of the size, two rows more or less), 29 hashes move by more than
  three bits with it and 125 without it; the one pair of screenshots that it brings within three bits is a true one.
"""

from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from steps.core.tiles.resize import halve

THUMBNAIL_SIDE = 32
_LOW = 8
# Halving an odd side blurs the edges of cells: by at most 7 grey levels on 99 % of real screenshots from this size on.
_SMALLEST_HALF = 256
_SCALE = 2**15
# 1/32 of a grey level: a coefficient sums 32 x 32 pixels, each times two cosines of _SCALE.
_ABOVE_MEDIAN = THUMBNAIL_SIDE * _SCALE**2
_COSINES = np.rint(
    _SCALE * np.cos(np.pi / (2 * THUMBNAIL_SIDE) * np.outer(np.arange(_LOW), 2 * np.arange(THUMBNAIL_SIDE) + 1))
)


def thumbnail(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Squash a screen, uint8 RGB [height, width, 3], to the means of its luma in uint8 [32, 32].

    Luma is that of ITU-R BT.601, 0 to 255. Exact halvings come first while both sides keep 256 pixels, at the cost of
    an odd last row or column, because an area average of all of a screenshot takes five times as long.
    """
    luma = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    while min(luma.shape) >= 2 * _SMALLEST_HALF:
        luma = halve(luma)
    small = cv2.resize(luma, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
    return cast("npt.NDArray[np.uint8]", small)


def perceptual_hash(thumb: npt.NDArray[np.uint8]) -> int:
    """Return the hash, 0 to 2**64 - 1, of a thumbnail, uint8 [32, 32]; a black one's is 0."""
    # Whole numbers below 2**53: float64 holds every sum exactly, in whatever order a BLAS adds.
    low = (_COSINES @ thumb.astype(np.float64) @ _COSINES.T).ravel()
    return int.from_bytes(np.packbits(low >= np.median(low) + _ABOVE_MEDIAN).tobytes(), "big")
