"""The backbone: Keras's own by its weights, and files that are no such weights or no model are named."""

import numpy as np
import pytest

from steps.core.common.errors import UserError
from steps.network.runtime import start_tensorflow

start_tensorflow()

import tf_keras as keras  # noqa: E402

from steps.network.backbone import FEATURES, build_model, load_model  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.mark.parametrize("backbone", ["small", "large-minimalistic"])
def test_the_backbone_is_kerass_own_with_kerass_weights(backbone, tmp_path):
    stock_class = keras.applications.MobileNetV3Small if backbone == "small" else keras.applications.MobileNetV3Large
    stock = stock_class(
        input_shape=(64, 64, 3), weights=None, include_top=False, pooling="avg", minimalistic=backbone != "small"
    )
    rng = np.random.default_rng(1)
    weights = [
        rng.uniform(0.5, 1.5, w.shape) if "variance" in w.name else rng.normal(0, 0.1, w.shape) for w in stock.weights
    ]
    stock.set_weights(weights)
    stock.save_weights(tmp_path / "stock.weights.h5")
    ours = build_model(backbone, 64, pretrained=tmp_path / "stock.weights.h5")
    features = keras.Model(ours.input, ours.get_layer("pool").output)
    tiles = rng.integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    expected = stock(tiles).numpy()
    assert np.abs(features(tiles).numpy() - expected).max() <= 1e-4 * np.abs(expected).max()


def test_evidence_is_as_wide_as_asked_and_not_bounded():
    model = build_model("small-minimalistic", 32, columns=3)
    assert model.output_shape == (None, 3)
    assert model.layers[-1].activation is keras.activations.linear
    # The features end with those of the last layer and hold earlier ones beside them.
    assert model.get_layer(FEATURES).output.shape[-1] > model.get_layer("pool").output.shape[-1]


def test_weights_of_another_backbone_are_refused(tmp_path):
    stock = keras.applications.MobileNetV3Small(input_shape=(32, 32, 3), weights=None, include_top=False)
    stock.save_weights(tmp_path / "small.weights.h5")
    with pytest.raises(UserError, match="holds no weights of MobileNetV3 large-minimalistic"):
        build_model("large-minimalistic", 32, pretrained=tmp_path / "small.weights.h5")
    (tmp_path / "broken.weights.h5").write_bytes(b"nothing")
    with pytest.raises(UserError, match="holds no weights"):
        build_model("small", 32, pretrained=tmp_path / "broken.weights.h5")
    with pytest.raises(UserError, match="one of small, large"):
        build_model("huge", 32)


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"model\.keras is not a readable"):
        load_model(tmp_path / "model.keras")
