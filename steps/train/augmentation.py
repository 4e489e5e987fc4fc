"""Augmentation of tiles, batch by batch: other appearances of a screen that is still the same screen.

Nothing here turns or mirrors a picture: no phone shows text that way. A screenshot's tiles are altered together where
the change is one of the screen (theme, light, colour), each for itself where it is one of the cut (zoom, a hole).
"""

from typing import Any

import tensorflow as tf

_LUMA = (0.2126, 0.7152, 0.0722)


def augment(tiles: Any, owner: Any, strength: float, seed: Any) -> Any:
    """Alter tiles float32 [n, side, side, 3], 0 to 255, and return them in the same form.

    `owner`, int64 [n], says which screenshot of the batch a tile is of; `strength` is 0 (nothing) to 1; `seed` is a
    pair of integers, and the same seed makes the same pictures.
    """
    if strength <= 0:
        return tiles
    count = tf.shape(tiles)[0]
    zoom, colour, hole = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    screenshots = tf.cast(tf.reduce_max(owner) + 1, tf.int32)
    tiles = _zoom(tiles, 0.35 * strength, tf.random.stateless_uniform([count, 4], zoom))
    tiles = _colour(tiles, owner, strength, tf.random.stateless_uniform([screenshots, 7], colour))
    return tf.clip_by_value(_cover(tiles, strength, tf.random.stateless_uniform([count, 8], hole)), 0.0, 255.0)


def _zoom(tiles: Any, most: float, drawn: Any) -> Any:
    """Look at a part of the tile, at least 1 - `most` of either side: other scales, other cuts, other proportions."""
    sides = 1.0 - most * drawn[:, :2]
    starts = (1.0 - sides) * drawn[:, 2:]
    boxes = tf.concat([starts, starts + sides], 1)
    return tf.image.crop_and_resize(tiles, boxes, tf.range(tf.shape(tiles)[0]), [tiles.shape[1], tiles.shape[2]])


def _colour(tiles: Any, owner: Any, strength: float, drawn: Any) -> Any:
    """Change the colours of whole screenshots: theme, brightness, contrast, saturation, and tint (a night light).

    The other theme turns lightness round and leaves hues as they are: x + 255 - 2 luma(x). All of it together is one
    affine map of a pixel's colour.
    """
    theme = tf.cast(drawn[:, :1] < 0.4 * strength, tf.float32)
    change = strength * (2.0 * drawn[:, 1:] - 1.0)
    saturation, contrast, shift, tint = 0.6 * change[:, :1], 0.3 * change[:, 1:2], 40.0 * change[:, 2:3], change[:, 3:]
    same, grey = tf.eye(3)[None], tf.tile(tf.constant([[_LUMA]]), [1, 3, 1])
    themed = same - 2.0 * theme[..., None] * grey
    saturated = (1.0 + saturation[..., None]) * same - saturation[..., None] * grey
    gain = (1.0 + contrast) * (1.0 + 0.12 * tint)
    matrix = gain[..., None] * (saturated @ themed)
    offset = gain * 255.0 * theme + (1.0 + 0.12 * tint) * (shift - 127.5 * contrast)
    # Colours are rows here, so the matrix stands on the right and turned round.
    turned = tf.gather(tf.transpose(matrix, [0, 2, 1]), owner)
    side = tiles.shape[1]
    mapped = tf.reshape(tiles, [-1, side * side, 3]) @ turned + tf.gather(offset, owner)[:, None, :]
    return tf.reshape(mapped, [-1, side, side, 3])


def _cover(tiles: Any, strength: float, drawn: Any) -> Any:
    """Cover a rectangle of some tiles with a plain colour: a notification, a keyboard, an advert, a status bar."""
    drawn = drawn[:, None, None, :]
    height, width = 0.35 * strength * drawn[..., :1], 0.6 * drawn[..., 1:2]
    top, left = drawn[..., 2:3] * (1.0 - height), drawn[..., 3:4] * (1.0 - width)
    rows = tf.linspace(0.0, 1.0, tiles.shape[1])[None, :, None, None]
    columns = tf.linspace(0.0, 1.0, tiles.shape[2])[None, None, :, None]
    in_rows = (rows >= top) & (rows < top + height) & (drawn[..., 4:5] < strength)
    inside = in_rows & (columns >= left) & (columns < left + width)
    return tf.where(inside, 255.0 * drawn[..., 5:], tiles)
