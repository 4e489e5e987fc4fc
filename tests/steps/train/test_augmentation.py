"""Other screens that are the same screen: what changes, what stays, and what a screenshot's tiles share."""

import numpy as np
import pytest

from steps.network.runtime import start_tensorflow

start_tensorflow()

import tensorflow as tf  # noqa: E402

from steps.train.augmentation import augment  # noqa: E402

pytestmark = pytest.mark.integration

SIDE = 32
LUMA = np.array([0.2126, 0.7152, 0.0722])


def pictures(count, seed=1):
    blocks = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3))
    return np.kron(blocks, np.ones((1, SIDE // 4, SIDE // 4, 1))).astype(np.float32)


def altered(tiles, owner=None, strength=1.0, seed=(1, 2)):
    owner = np.arange(len(tiles)) if owner is None else np.asarray(owner)
    return augment(tf.constant(tiles), tf.constant(owner, tf.int64), strength, tf.constant(seed, tf.int64)).numpy()


def plain(colours):
    """Tiles of one colour each: whatever zooms or cuts them, only their colour can change."""
    return np.tile(np.asarray(colours, np.float32)[:, None, None, :], (1, SIDE, SIDE, 1))


def most_common(tiles):
    """The colour that most of a tile has, which a hole does not change: [n, 3]."""
    return np.median(tiles.reshape(len(tiles), -1, 3), 1)


def test_without_strength_nothing_changes():
    tiles = pictures(4)
    assert (altered(tiles, strength=0.0) == tiles).all()


def test_a_seed_makes_the_same_pictures_and_another_one_others():
    tiles = pictures(6)
    assert (altered(tiles) == altered(tiles)).all()
    assert (altered(tiles) != altered(tiles, seed=(1, 3))).mean() > 0.3
    assert (altered(tiles) != altered(tiles, seed=(2, 2))).mean() > 0.3


@pytest.mark.parametrize("strength", [0.1, 0.5, 1.0])
def test_pictures_keep_their_form_and_their_range(strength):
    tiles = pictures(40)
    for seed in range(3):
        made = altered(tiles, strength=strength, seed=(seed, 0))
        assert made.shape == tiles.shape
        assert made.dtype == np.float32
        assert made.min() >= 0
        assert made.max() <= 255
        assert np.isfinite(made).all()


def test_the_stronger_the_further():
    tiles = pictures(60)
    changes = [np.abs(altered(tiles, strength=s) - tiles).mean() for s in (0.05, 0.3, 1.0)]
    assert changes == sorted(changes)
    assert changes[0] < 15


def test_tiles_of_one_screenshot_share_their_colours_and_others_do_not():
    owner = np.repeat(np.arange(20), 3)
    made = most_common(altered(plain([[120, 100, 80]] * 60), owner)).reshape(20, 3, 3)
    # One in three tiles may lie under its hole; the two others agree.
    spread = np.sort(np.abs(made[:, [0, 1, 2]] - made[:, [1, 2, 0]]).max(2), 1)[:, 0]
    assert spread.max() < 0.01
    assert len({tuple(colour) for colour in np.median(made, 1).round(3)}) == 20


def test_another_theme_turns_lightness_round_and_keeps_hues():
    """Dark screens become light ones and light ones dark, in some of the screenshots only; red stays red."""
    dark, light = (most_common(altered(plain([c] * 200))) for c in ([20, 15, 15], [240, 235, 235]))
    for found, share in (((dark @ LUMA) > 128, 0.4), ((light @ LUMA) < 128, 0.4)):
        assert found.mean() == pytest.approx(share, abs=0.1)
    red = most_common(altered(plain([[150, 40, 40]] * 200)))
    assert (red[:, 0] > red[:, 1:].max(1)).mean() > 0.9


def test_nothing_is_mirrored_or_turned():
    """Above is bright, the left is red: however much is zoomed and coloured, that is where they stay."""
    tile = np.zeros((SIDE, SIDE, 3), np.float32) + 60
    tile[:, : SIDE // 2, 0] += 120
    tile[: SIDE // 2, :, 1] += 60
    made = altered(np.tile(tile, (200, 1, 1, 1)))
    redness, greenness = made[..., 0] - made[..., 2], made[..., 1] - made[..., 2]
    quarter = SIDE // 4
    assert np.median(redness[:, :, :quarter].mean((1, 2)) - redness[:, :, -quarter:].mean((1, 2))) > 50
    assert np.mean(redness[:, :, :quarter].mean((1, 2)) < redness[:, :, -quarter:].mean((1, 2)) - 30) < 0.05
    assert np.mean(greenness[:, :quarter].mean((1, 2)) < greenness[:, -quarter:].mean((1, 2)) - 30) < 0.05


def test_a_zoom_shows_a_part_and_nothing_from_outside():
    """On a ramp without colour changes, the zoomed one is a ramp still, inside the old one's range."""
    ramp = np.tile(np.linspace(100, 150, SIDE, dtype=np.float32)[None, None, :, None], (50, SIDE, 1, 3))
    made = altered(ramp, np.zeros(50, np.int64), 0.01)
    # So weak that no hole is large: every row still rises from left to right.
    middle = np.median(made[..., 0], 1)
    assert (np.diff(middle, axis=1) >= -1e-3).all()
    assert (middle[:, -1] - middle[:, 0] < 51).all()
