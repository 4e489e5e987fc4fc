"""From a decoded screenshot to the tiles of the model, as TensorFlow operations with which a phone's runtime can do it.

The tile plan of `steps.core.tiles.tiling` and the resize rule of `steps.core.tiles.resize`, bit for bit `cut_tiles`.
All values are whole numbers below 2^24 and sums of quarters, which 32-bit floats hold exactly, so no platform and no
order of summation gives other ones.

What makes it fast: the halvings of the whole screenshot are done once, outside of any control flow, where the runtime
plans the memory beforehand; tiles whose place is divisible by the factor are cut from the halved screenshot.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from steps.core.tiles.decode import MAX_PIXELS

_ANY_PICTURE = tf.TensorShape([1, None, None, 3])
_HALF = 0.5


def prepare_tiles(pixels: Any, size: int) -> Any:
    """Cut and resize a screenshot: uint8 RGB [1, height, width, 3] to uint8 [tiles, size, size, 3], overview first.

    Sides are 1 to 20,000 pixels, at most 40 million pixels together; nothing here checks them.
    """
    height, width = tf.shape(pixels)[1], tf.shape(pixels)[2]
    short, long = tf.minimum(height, width), tf.maximum(height, width)
    count = (long + short - 1) // short
    offsets = (long - short) * tf.range(count) // tf.maximum(count - 1, 1)
    pyramid = [pixels]
    while len(pyramid) <= _halvings(size):
        pyramid.append(_halve(pyramid[-1]))
    wanted = [short // 2**level >= 2 * size for level in range(_halvings(size))]
    even = [tf.reduce_sum(offsets % 2 ** (level + 1)) == 0 for level in range(_halvings(size))]
    overview = _overview(_level(pyramid, _count(wanted), height, width), size)
    aligned = _count([tf.logical_and(*both) for both in zip(wanted, even, strict=True)])
    scale = _power(aligned)
    picture = _level(pyramid, aligned, height, width)
    return _with_squares(overview, picture, offsets // scale, size)


def _with_squares(overview: Any, picture: Any, offsets: Any, size: int) -> Any:
    """Put the squares that lie at `offsets` along the picture's long side behind the overview."""
    height, width = tf.shape(picture)[1], tf.shape(picture)[2]
    side, wide = tf.minimum(height, width), tf.cast(width >= height, tf.int32)

    def cut(number: Any, tiles: Any) -> Any:
        offset = offsets[number]
        start = tf.stack([0, offset * (1 - wide), offset * wide, 0])
        square = tf.slice(picture, start, tf.stack([1, side, side, 3]))
        (square,) = tf.while_loop(
            lambda square: tf.shape(square)[1] >= 2 * size,
            lambda square: (_exactly(_halve(square), tf.shape(square)[1] // 2, tf.shape(square)[2] // 2),),
            (square,),
            shape_invariants=(_ANY_PICTURE,),
        )
        return number + 1, tf.concat([tiles, _bilinear(square, size)], 0)

    _, tiles = tf.while_loop(
        lambda number, _: number < tf.shape(offsets)[0],
        cut,
        (0, overview),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, size, size, 3])),
    )
    return tiles


def _overview(picture: Any, size: int) -> Any:
    for axis in (1, 2):
        (picture,) = tf.while_loop(
            lambda picture, axis=axis: tf.shape(picture)[axis] >= 2 * size,
            lambda picture, axis=axis: (_halve_along(picture, axis),),
            (picture,),
            shape_invariants=(_ANY_PICTURE,),
        )
    return _bilinear(picture, size)


def _halvings(size: int) -> int:
    """Return how often the largest screenshot can be halved along both axes."""
    short, count = int(MAX_PIXELS**0.5), 0
    while short >= 2 * size:
        short, count = short // 2, count + 1
    return count


def _count(conditions: list[Any]) -> Any:
    return tf.add_n([tf.cast(condition, tf.int32) for condition in conditions])


def _power(exponent: Any) -> Any:
    return tf.cast(2.0 ** tf.cast(exponent, tf.float32), tf.int32)


def _level(pyramid: list[Any], wanted: Any, height: Any, width: Any) -> Any:
    """Return one picture of the pyramid. No branches: those would copy every picture that they choose from."""
    rows = []
    for level, picture in enumerate(pyramid):
        chosen = tf.cast(tf.equal(wanted, level), tf.int32)
        part = tf.slice(picture, [0, 0, 0, 0], tf.stack([1, chosen * (height // 2**level), width // 2**level, 3]))
        rows.append(tf.reshape(part, [-1, 3]))
    scale = _power(wanted)
    return tf.reshape(tf.concat(rows, 0), tf.stack([1, height // scale, width // scale, 3]))


def _halve(pixels: Any) -> Any:
    """Return the means of 2 x 2 pixels, half up; of odd sides an additional last row or column that means nothing.

    With it the picture is never empty, which not every runtime would bear.
    """
    quarters = tf.constant(np.full((2, 2, 3, 1), 0.25, np.float32))
    means = tf.nn.depthwise_conv2d(tf.cast(pixels, tf.float32), quarters, (1, 2, 2, 1), "SAME")
    return tf.cast(means + _HALF, tf.uint8)


def _exactly(pixels: Any, height: Any, width: Any) -> Any:
    return tf.slice(pixels, [0, 0, 0, 0], tf.stack([1, height, width, 3]))


def _halve_along(pixels: Any, axis: int) -> Any:
    first = 2 * tf.range(tf.shape(pixels)[axis] // 2)
    pairs = (tf.cast(tf.gather(pixels, first + step, axis=axis), tf.float32) for step in (0, 1))
    return tf.cast((sum(pairs) + 1.0) * _HALF, tf.uint8)


def _bilinear(pixels: Any, size: int) -> Any:
    width = tf.shape(pixels)[2]
    rows = tf.reshape(tf.cast(pixels, tf.float32), tf.stack([-1, 3 * width]))
    lines = tf.reshape(_interpolate(rows, tf.shape(pixels)[1], size, 0), tf.stack([size, width, 3]))
    values = tf.reshape(_interpolate(lines, width, size, 1), (1, size, size, 3))
    return tf.cast((values + 2.0**15) * 2.0**-16, tf.uint8)


def _interpolate(values: Any, side: Any, size: int, axis: int) -> Any:
    """Interpolate along an axis of length `side` by the rule's formula, unrounded: float32 [size, many], 256 times."""
    position = (2 * tf.range(size) + 1) * side - size
    low = position // (2 * size)
    numerator = 128 * (position - 2 * size * low)
    weight = numerator // size
    rest = numerator - weight * size
    up = tf.logical_or(2 * rest > size, tf.logical_and(tf.equal(2 * rest, size), tf.equal(weight % 2, 1)))
    weight += tf.cast(up, tf.int32)
    weight *= tf.cast(tf.logical_and(low >= 0, low < side - 1), tf.int32)
    low = tf.clip_by_value(low, 0, side - 1)
    high = tf.minimum(low + 1, side - 1)
    # Flat rows: an innermost dimension of three colours is slow to multiply.
    share = tf.cast(tf.reshape(weight, (-1, 1)), tf.float32)
    share = share if axis == 0 else tf.reshape(tf.tile(share, (1, 3)), (1, -1))
    first, second = (tf.reshape(tf.gather(values, at, axis=axis), (size, -1)) for at in (low, high))
    return first * (256.0 - share) + second * share
