"""Where a model sees what it flags: the place of a colour, found by a network made by hand for just that."""

import numpy as np
import pandas as pd
import pytest

from steps.network.runtime import start_tensorflow
from tests.steps.conftest import TILE_SIZE
from tests.steps.tiny import seeing

start_tensorflow()

import tensorflow as tf  # noqa: E402
import tf_keras as keras  # noqa: E402
from steps.evaluate.grad_cam import class_activations  # noqa: E402

pytestmark = pytest.mark.integration


def model_for(square=1.0):
    """Its features are how red and how blue a place is; red speaks for, on squares by `square`, and blue against."""
    layers = keras.layers
    inputs = layers.Input((TILE_SIZE, TILE_SIZE, 3))
    x = layers.Conv2D(2, 4, strides=4, use_bias=False, name="Conv_1")(inputs)
    x = layers.GlobalAveragePooling2D()(layers.ReLU(name="Conv_1/act")(x))
    model = keras.Model(inputs, layers.Dense(3, name="evidence")(x))
    kernel = np.zeros((4, 4, 3, 2), np.float32)
    kernel[..., 0, 0] = kernel[..., 2, 1] = 1 / 16
    head = np.array([[1.0, square, 0.0], [-1.0, -square, 0.0]], np.float32)
    model.set_weights([kernel, head, np.zeros(3, np.float32)])
    return model


class Shown:
    """Tiles of two screenshots, an overview and two squares each; each has a blob of 4 x 4 pixels."""

    def __init__(self, colours, places):
        self.tiles = np.zeros((6, TILE_SIZE, TILE_SIZE, 3), np.uint8)
        for tile, (colour, value), (row, column) in zip(self.tiles, colours, places, strict=True):
            tile[4 * row : 4 * row + 4, 4 * column : 4 * column + 4, colour] = value
        self.rows = pd.DataFrame({"id": ["a"] * 3 + ["b"] * 3, "index": [0, 1, 2] * 2, "count": 3})

    def batches(self, rows, _batch):
        numbers = np.array(["ab".index(i) * 3 for i in rows["id"]]) + rows["index"].to_numpy()
        positions = np.random.default_rng(1).permutation(len(rows))
        return [(tf.constant(positions), tf.constant(self.tiles[numbers[positions]]))]


PLACES = [(0, 0), (1, 5), (7, 2), (3, 3), (6, 6), (2, 7)]
RED = (0, 200)


def test_each_map_points_at_its_own_tiles_blob():
    shown = Shown([RED] * 6, PLACES)
    maps = class_activations(model_for(), shown, shown.rows, ["a", "b"])
    assert list(maps) == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("b", 2)]
    for found, place in zip(maps.values(), PLACES, strict=True):
        assert found.shape == (8, 8)
        assert found.dtype == np.float32
        assert np.unravel_index(found.argmax(), found.shape) == place
        assert found.max() == pytest.approx(1)
        assert (found > 0).sum() == 1


def test_what_speaks_against_the_class_is_not_shown():
    shown = Shown([RED, (2, 200), (2, 200), *[(2, 200)] * 3], PLACES)
    maps = class_activations(model_for(), shown, shown.rows, ["a", "b"])
    assert [float(found.max()) for found in maps.values()] == pytest.approx([1, 0, 0, 0, 0, 0])


def test_maps_of_one_screenshot_share_their_scale_and_not_that_of_others():
    shown = Shown([(0, 200), (0, 100), (0, 50), (0, 20), (0, 10), (0, 5)], PLACES)
    maps = class_activations(model_for(), shown, shown.rows, ["a", "b"])
    assert [float(found.max()) for found in maps.values()] == pytest.approx([1, 0.5, 0.25] * 2)


def test_an_overview_is_looked_at_for_its_own_column():
    shown = Shown([RED] * 6, PLACES)
    maps = class_activations(model_for(square=-1.0), shown, shown.rows, ["a"])
    assert [float(found.max()) for found in maps.values()] == pytest.approx([1, 0, 0])


def test_only_the_screenshots_that_are_asked_for_have_maps():
    shown = Shown([RED] * 6, PLACES)
    assert {name for name, _ in class_activations(model_for(), shown, shown.rows, ["b", "c"])} == {"b"}
    assert class_activations(model_for(), shown, shown.rows, []) == {}


def test_a_model_without_mobilenets_last_layer_has_no_maps():
    shown = Shown([RED] * 6, PLACES)
    assert class_activations(seeing(), shown, shown.rows, ["a"]) == {}
