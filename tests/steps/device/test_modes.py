"""Shortened or not, the file says of a tile nearly what the model said."""

import numpy as np
import pytest

from steps.device.export import MODES, export
from steps.device.runtime import LiteModel
from steps.network.head import Head
from tests.steps.tiny import SPEC

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::UserWarning")]
WIDTH = 5
HEAD = Head.of(np.random.default_rng(2).normal(0, 2, 3 * WIDTH), -0.3)


def network():
    import tf_keras as keras

    keras.utils.set_random_seed(3)
    tile = keras.Input((SPEC.tile_size, SPEC.tile_size, 3))
    x = keras.layers.Conv2D(16, 3, strides=2, activation="relu")(tile)
    x = keras.layers.Conv2D(32, 3, strides=2, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(tile, keras.layers.Dense(WIDTH)(x))
    # As if rescaled to 0 to 1.
    model.layers[1].set_weights([weight / 255 for weight in model.layers[1].get_weights()])
    return model


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_keeps_the_features(mode, tmp_path):
    path, model = tmp_path / "model.tflite", network()
    export(model, HEAD, SPEC, path, mode=mode)
    lite = LiteModel(path, 1)
    tiles = np.random.default_rng(1).integers(0, 256, (8, *[SPEC.tile_size] * 2, 3), dtype=np.uint8)
    features = np.stack([lite.tile(tile) for tile in tiles])
    assert np.abs(features - model(tiles.astype(np.float32), training=False)).max() < 0.05
