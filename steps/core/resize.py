"""The resize rule that a phone can reproduce: exact halvings, then one bilinear step.

Android's `createScaledBitmap` does not antialias, Pillow and TensorFlow's default do; a model trained with one and
served with the other sees shifted pixels. Halving by 2 x 2 means first takes the aliasing away and is exact integer
arithmetic anywhere; the last step, by a factor below two, is plain bilinear with half-pixel centres.
"""

from typing import cast

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def halve(pixels: Pixels) -> Pixels:
    """Return the means of 2 x 2 pixels, half up; an odd last row or column is left out.

    uint8 [height, width, 3] to uint8 [height // 2, width // 2, 3].
    """
    rows, columns = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
    even = pixels[:rows, :columns].astype(np.uint16)
    total = even[0::2, 0::2] + even[1::2, 0::2] + even[0::2, 1::2] + even[1::2, 1::2]
    return ((total + 2) >> 2).astype(np.uint8)


def resize_square(pixels: Pixels, size: int) -> Pixels:
    """Resize a square, uint8 [side, side, 3], to uint8 [size, size, 3]: halve while that leaves at least `size`."""
    while pixels.shape[0] >= 2 * size:
        pixels = halve(pixels)
    return pixels if pixels.shape[0] == size else _bilinear(pixels, size)


def _bilinear(pixels: Pixels, size: int) -> Pixels:
    side = pixels.shape[0]
    # Half-pixel centres: output i samples (i + 0.5) * side / size - 0.5, clamped to the image.
    at = np.clip((np.arange(size) + 0.5) * (side / size) - 0.5, 0, side - 1)
    low = at.astype(np.intp)
    high = np.minimum(low + 1, side - 1)
    part = (at - low).astype(np.float32)
    rows = pixels[low].astype(np.float32)
    rows += (pixels[high].astype(np.float32) - rows) * part[:, None, None]
    left = rows[:, low]
    left += (rows[:, high] - left) * part[None, :, None]
    return cast("Pixels", (left + 0.5).astype(np.uint8))
