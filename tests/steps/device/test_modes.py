"""Shortened or not, the graph's own arithmetic stays exact: both signatures say the same of the same tiles."""

import numpy as np
import pytest
from scipy.special import expit

from steps.core.tiles.cutting import cut_tiles
from steps.device.export import MODES, export
from steps.device.runtime import LiteModel
from steps.network.head import Head
from tests.steps.device.conftest import evidence_of
from tests.steps.tiny import SPEC

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::UserWarning")]
SIZES = [(1, 20), (40, 40), (97, 31), (270, 600), (719, 1599), (640, 64)]
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
def test_the_tiles_stay_exact_in_every_mode(mode, tmp_path):
    path = tmp_path / "model.tflite"
    model = network()
    export(model, HEAD, SPEC, path, mode=mode)
    lite = LiteModel(path, 1)
    rng = np.random.default_rng(1)
    for width, height in SIZES:
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        tiles = cut_tiles(pixels, SPEC)
        score, evidence = lite.screenshot(pixels)
        features = np.stack([lite.tile(tile) for tile in tiles])
        assert evidence == pytest.approx(evidence_of(HEAD, features), abs=1e-6)
        assert score == pytest.approx(expit(evidence.sum() + HEAD.bias), abs=1e-6)
        assert np.abs(features - model(np.stack(tiles).astype(np.float32), training=False)).max() < 0.05
