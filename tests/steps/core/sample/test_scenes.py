"""The sample as a task: the badge fits a tile, and nothing but the badge tells the classes apart."""

import numpy as np
import pytest

from steps.core.sample.apps import APPS, SOURCE, app_name, are_drawn, make_app
from steps.core.sample.canvas import SHORT_SIDE_DP
from steps.core.sample.objects import DECOYS
from steps.core.sample.scenes import draw_scene, plan_scene
from steps.core.tiles.tiling import plan_squares

SEED = 17
SHORTCUT_SCREENS = 180


@pytest.fixture(scope="module")
def scenes():
    apps = [make_app(SEED, number) for number in range(APPS)]
    return [plan_scene(SEED, app, screen) for app in apps for screen in range(10)]


def test_two_fifths_are_positive(scenes):
    assert np.mean([scene.promotion for scene in scenes]) == 0.4


def test_a_quarter_of_the_negatives_are_hard(scenes):
    negatives = [scene for scene in scenes if not scene.promotion]
    assert 0.2 < np.mean([scene.main in DECOYS for scene in negatives]) < 0.3


def _inside(tile, centre, radius, dp):
    (x, y), left, top, side = centre, tile.left * dp, tile.top * dp, tile.width * dp
    return left <= x - radius and x + radius <= left + side and top <= y - radius and y + radius <= top + side


def test_every_tile_shows_a_main_object_wholly(scenes):
    for scene in scenes:
        dp = SHORT_SIDE_DP / min(scene.width, scene.height)
        for tile in plan_squares(scene.width, scene.height):
            assert any(_inside(tile, centre, scene.radius, dp) for centre in scene.centres)


def test_badges_stay_large_enough_for_a_small_tile(scenes):
    shares = [2 * scene.radius / SHORT_SIDE_DP for scene in scenes]
    assert min(shares) >= 0.22
    assert max(shares) <= 0.45


def test_a_tenth_of_the_screens_lie_on_their_side(scenes):
    assert 0.06 < np.mean([scene.width > scene.height for scene in scenes]) < 0.15


def test_app_names_are_unique():
    assert len({make_app(SEED, number).name for number in range(APPS)}) == APPS


def test_colour_and_size_do_not_tell_the_classes_apart(scenes):
    chosen = scenes[:: len(scenes) // SHORTCUT_SCREENS][:SHORTCUT_SCREENS]
    features = np.array([_shortcut(scene) for scene in chosen])
    labels = np.array([scene.promotion for scene in chosen])
    assert _cross_validated_auc(features, labels) < 0.65


def _shortcut(scene):
    pixels = np.asarray(draw_scene(scene).reduce(2), dtype=np.float64) / 255
    saturation = pixels.max(axis=2) - pixels.min(axis=2)
    colours = [*pixels.mean(axis=(0, 1)), *pixels.std(axis=(0, 1)), saturation.mean(), (saturation > 0.4).mean()]
    return [*colours, scene.width, scene.height, scene.width / scene.height]


def _cross_validated_auc(features, labels, folds=5):
    scores = np.empty(len(labels))
    fold = np.arange(len(labels)) * folds // len(labels)
    for part in range(folds):
        fit, held = fold != part, fold == part
        mean, spread = features[fit].mean(axis=0), features[fit].std(axis=0)
        known, asked = (features[fit] - mean) / spread, (features[held] - mean) / spread
        scores[held] = asked @ _logistic(known, labels[fit])
    ranks = scores.argsort().argsort()
    positive = labels == 1
    return (ranks[positive].mean() - (positive.sum() - 1) / 2) / (~positive).sum()


def _logistic(features, labels, steps=300, rate=0.3, decay=0.01):
    weights, bias = np.zeros(features.shape[1]), 0.0
    for _ in range(steps):
        error = 1 / (1 + np.exp(-(features @ weights + bias))) - labels
        weights -= rate * (features.T @ error / len(labels) + decay * weights)
        bias -= rate * error.mean()
    return weights


def test_screenshots_are_the_samples_by_source_and_apps():
    names = [app_name(number) for number in range(APPS)]
    assert len(set(names)) == APPS
    assert are_drawn([SOURCE] * APPS, names)
    assert not are_drawn([SOURCE, SOURCE], [names[0], "banking"])
    assert not are_drawn([SOURCE, "phone"], names[:2])
    assert not are_drawn([], [])
