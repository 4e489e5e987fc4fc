"""The resize rule that a phone can reproduce bit for bit: exact halvings, then one bilinear step, all in integers.

Rule `halve-then-bilinear-3`. While both sides are at least twice the wanted size the picture is halved: each output
value is (a + b + c + d + 2) >> 2 of a 2 x 2 block, an odd last row and column are left out. Then, while one side still
is (that of an overview), it alone is halved: (a + b + 1) >> 1. Last, if a side differs from the size, one bilinear
step with half-pixel centres, also where it enlarges. For output index i along an axis of length `side`, in 32-bit
integers with floor division:

    position = (2 i + 1) side - size                  in units of 1 / (2 size) of a pixel
    low      = floor(position / (2 size))             the left or upper neighbour
    part     = position - 2 size low
    weight   = part 256 / (2 size), rounded to the nearest integer, exact halves to the even one
    low < 0: low, weight = 0, 0                       low >= side - 1: low, weight = side - 1, 0
    line     = (256 - weight) v[low] + weight v[low + 1]

first along the row, unrounded, then along the column, and value = (line + 32768) >> 16. These are the integers of
OpenCV's INTER_LINEAR_EXACT (modules/imgproc/src/resize.cpp), which does the work here; it computes the weights in
double precision, whose rounding errors break exact halves, so where those occur (sizes of 256 and 512 only) NumPy
computes the formula instead.

Why this rule. A phone resizes with `Bitmap.createScaledBitmap(..., filter=true)`, Skia's bilinear filter without
antialiasing; Pillow and TensorFlow's default antialias, and a model trained with one and served with the other sees
7 to 9 % of its pixels off by more than 8 of 255. Plain bilinear on both sides (A) agrees, but skips most pixels of a
screenshot five times too large, so that thin strokes come and go with a shift by one pixel: 4.0 of 255 mean difference
to an antialiased resize, against 1.2 with the halvings, which cost a tenth of the decoding. Resizing inside the model
(C) would ship full screenshots into the interpreter, tie the tiles to one graph and make the stored tiles five times
larger. Halvings are exact anywhere, and after them the factor is below two, where plain bilinear skips nothing.
"""

import functools

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]
Wide = npt.NDArray[np.int32]


def halve(pixels: Pixels) -> Pixels:
    """Return the means of 2 x 2 pixels, half up; an odd last row or column is left out.

    uint8 [height, width, 3 or 4] to uint8 [height // 2, width // 2, 3 or 4]; sides are at least 2.
    """
    rows, columns = pixels.shape[0] // 2, pixels.shape[1] // 2
    # OpenCV's area resize by exactly two is this mean for 1, 3 and 4 channels; for 2 it rounds halves to even.
    even = pixels[: 2 * rows, : 2 * columns]
    return np.asarray(cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA))


def halve_along(pixels: Pixels, axis: int) -> Pixels:
    """Return the means of neighbours along axis 0 or 1, half up; an odd last row or column is left out."""
    count = pixels.shape[axis] // 2
    wide = pixels.astype(np.uint16)
    first, second = (wide.take(np.arange(start, 2 * count, 2), axis) for start in (0, 1))
    return ((first + second + 1) >> 1).astype(np.uint8)


def resize(pixels: Pixels, size: int) -> Pixels:
    """Resize by the rule: uint8 [height, width, channels] to uint8 [size, size, channels]."""
    while min(pixels.shape[:2]) >= 2 * size:
        pixels = halve(pixels)
    for axis in (0, 1):
        while pixels.shape[axis] >= 2 * size:
            pixels = halve_along(pixels, axis)
    height, width = pixels.shape[:2]
    if height == width == size:
        return pixels
    if _has_exact_halves(height, size) or _has_exact_halves(width, size):
        return bilinear(pixels, size)
    return np.asarray(cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR_EXACT))


def bilinear(pixels: Pixels, size: int) -> Pixels:
    """Compute the rule's last step by its formula."""
    left, right, part = _neighbours(pixels.shape[1], size)
    wide = pixels.astype(np.int32)
    across = part[None, :, None]
    lines: Wide = wide[:, left] * (256 - across) + wide[:, right] * across
    upper, lower, part = _neighbours(pixels.shape[0], size)
    down = part[:, None, None]
    values: Wide = lines[upper] * (256 - down) + lines[lower] * down
    return ((values + 32768) >> 16).astype(np.uint8)


def _has_exact_halves(side: int, size: int) -> bool:
    # part 256 / (2 size) can be an integer and a half only if a pixel's step is an odd number of 1/256 pixels.
    step, rest = divmod(256 * side, size)
    return not rest and step % 2 == 1


@functools.lru_cache(maxsize=64)
def _neighbours(side: int, size: int) -> tuple[Indices, Indices, Wide]:
    low, part = np.divmod((2 * np.arange(size, dtype=np.int64) + 1) * side - size, 2 * size)
    weight, rest = np.divmod(128 * part, size)
    weight += (2 * rest > size) | ((2 * rest == size) & (weight % 2 == 1))
    weight[(low < 0) | (low >= side - 1)] = 0
    low = low.clip(0, side - 1)
    return low, np.minimum(low + 1, side - 1), weight.astype(np.int32)
