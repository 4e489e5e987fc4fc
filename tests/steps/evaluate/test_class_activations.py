"""Where a model sees what it flags: the place of a colour, found by a network whose features are just that."""

import numpy as np
import pandas as pd
import pytest

from steps.network.head import Head
from steps.network.runtime import start_tensorflow
from tests.steps.conftest import TILE_SIZE
from tests.steps.tiny import seeing

start_tensorflow()

import tensorflow as tf  # noqa: E402

from steps.evaluate.class_activations import class_activations  # noqa: E402

pytestmark = pytest.mark.integration

# Red speaks for the class, blue against it.
COLOURS = np.array([1.0, 0.0, -1.0])
RED, BLUE = 0, 2
PLACES = [(0, 0), (1, 25), (27, 12), (13, 3), (6, 30), (22, 17)]


class Shown:
    """Tiles of two screenshots, an overview and two squares each; each has one pixel of a colour."""

    def __init__(self, colours):
        self.tiles = np.zeros((6, TILE_SIZE, TILE_SIZE, 3), np.uint8)
        for tile, (colour, value), place in zip(self.tiles, colours, PLACES, strict=True):
            tile[(*place, colour)] = value
        self.rows = pd.DataFrame({"id": ["a"] * 3 + ["b"] * 3, "index": [0, 1, 2] * 2, "count": 3})

    def batches(self, rows, _batch):
        numbers = np.array(["ab".index(i) * 3 for i in rows["id"]]) + rows["index"].to_numpy()
        positions = np.random.default_rng(1).permutation(len(rows))
        return [(tf.constant(positions), tf.constant(self.tiles[numbers[positions]]))]


def maps(colours, ids=("a", "b"), square=1.0):
    shown = Shown(colours)
    head = Head(COLOURS, square * COLOURS / 2, square * COLOURS / 2, -3.0)
    return class_activations(seeing(), head, shown, shown.rows, ids)


def test_each_map_points_at_its_own_tiles_place():
    found = maps([(RED, 200)] * 6)
    assert list(found) == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("b", 2)]
    for heat, place in zip(found.values(), PLACES, strict=True):
        assert heat.dtype == np.float32
        assert np.unravel_index(heat.argmax(), heat.shape) == place
        assert (heat > 0).sum() == 1


@pytest.mark.parametrize(
    ("colours", "square", "strongest"),
    [
        ([(RED, 200)] + [(BLUE, 200)] * 5, 1.0, [1, 0, 0, 0, 0, 0]),
        ([(RED, value) for value in (200, 100, 50, 20, 10, 5)], 1.0, [1, 0.5, 0.25] * 2),
        ([(RED, 200)] * 6, -1.0, [1, 0, 0] * 2),
    ],
    ids=["what speaks against is not shown", "a screenshot has one scale", "the overview has weights of its own"],
)
def test_a_map_is_as_strong_as_what_speaks_for_the_class(colours, square, strongest):
    assert [float(heat.max()) for heat in maps(colours, square=square).values()] == pytest.approx(strongest)


def test_only_the_screenshots_that_are_asked_for_have_maps():
    assert {name for name, _ in maps([(RED, 200)] * 6, ["b", "c"])} == {"b"}
    assert maps([(RED, 200)] * 6, []) == {}
