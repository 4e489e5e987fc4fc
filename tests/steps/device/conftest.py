"""One tile model whose evidence tells its pixels, converted once for the tests of the device contract."""

import numpy as np
import pytest
from steps.network.reducer import Reducer

from steps.core.tiles.spec import PreprocessingSpec
from steps.network.runtime import start_tensorflow

SPEC = PreprocessingSpec(tile_size=32)
REDUCER = Reducer("attention", scale=2e-5, offset=-3.0)


class Telling:
    """A model that adds up half of a tile's values, another half for each column: whole numbers, exact in floats."""

    def __init__(self):
        start_tensorflow()
        import tf_keras as keras

        self.weights = np.random.default_rng(5).integers(0, 2, (SPEC.tile_size**2 * 3, REDUCER.columns))
        tile = keras.Input((SPEC.tile_size, SPEC.tile_size, 3))
        sums = keras.layers.Dense(REDUCER.columns, use_bias=False)
        self.model = keras.Model(tile, sums(keras.layers.Flatten()(tile)))
        sums.set_weights([self.weights.astype(np.float32)])

    def evidence(self, tiles):
        return np.stack([tile.reshape(-1).astype(np.int64) @ self.weights for tile in tiles])


@pytest.fixture(scope="session")
def telling():
    return Telling()


@pytest.fixture(scope="session")
def converted(telling, tmp_path_factory):
    from steps.device.export import export

    path = tmp_path_factory.mktemp("converted") / "model.tflite"
    export(telling.model, REDUCER, SPEC, path)
    return path
