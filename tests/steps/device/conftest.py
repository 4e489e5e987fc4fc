"""One tile model whose features tell its pixels, converted once for the tests of the device contract."""

import numpy as np
import pytest

from steps.network.head import Head
from steps.network.runtime import start_tensorflow
from tests.steps.tiny import SPEC

WIDTH = 4
# So small that scores are neither 0 nor 1: a feature is some 200,000.
HEAD = Head.of(2.0**-19 * np.array([1, 2, -1, 1, 3, -2, 1, 1, 2, 1, -3, 1]), -2.0)


class Telling:
    """A model that adds up half of a tile's values, another half for each feature: whole numbers, exact in floats."""

    def __init__(self):
        start_tensorflow()
        import tf_keras as keras

        self.weights = np.random.default_rng(5).integers(0, 2, (SPEC.tile_size**2 * 3, WIDTH))
        tile = keras.Input((SPEC.tile_size, SPEC.tile_size, 3))
        sums = keras.layers.Dense(WIDTH, use_bias=False)
        self.model = keras.Model(tile, sums(keras.layers.Flatten()(tile)))
        sums.set_weights([self.weights.astype(np.float32)])

    def features(self, tiles):
        return np.stack([tile.reshape(-1).astype(np.int64) @ self.weights for tile in tiles]).astype(np.float64)

    def evidence(self, tiles):
        index = np.arange(len(tiles))
        return HEAD.evidence(self.features(tiles), index, 0 * index)

    def score(self, tiles):
        index = np.arange(len(tiles))
        return HEAD.scores(self.features(tiles), index, 0 * index)[0]


@pytest.fixture(scope="session")
def telling():
    return Telling()


@pytest.fixture(scope="session")
def converted(telling, tmp_path_factory):
    from steps.device.export import export

    path = tmp_path_factory.mktemp("converted") / "model.tflite"
    export(telling.model, HEAD, SPEC, path)
    return path
