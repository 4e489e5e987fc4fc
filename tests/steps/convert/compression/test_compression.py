"""Eight bits for a tile model: what they must keep, and what they must leave alone."""

import numpy as np
import pytest

from steps.core.common.errors import UserError
from steps.network.runtime import start_tensorflow

start_tensorflow()

import tf_keras as keras  # noqa: E402

from steps.convert.quantization import rounded  # noqa: E402

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def features(model, tiles):
    return model(tiles, training=False).numpy()


def error(model, other, tiles):
    """The mean difference of two models' features, by each feature's own spread."""
    found = features(model, tiles)
    return (np.abs(features(other, tiles) - found).mean(0) / (found.std(0) + 1e-3)).mean()


def test_without_representative_tiles_nothing_is_rounded(model):
    with pytest.raises(UserError, match="representative data set is empty"):
        rounded(model, iter(()))


def test_rounded_weights_are_on_a_grid_of_255_values_a_channel(model, batches):
    made = rounded(model, batches())
    kernel = made.get_layer("expanded_conv_1/project").kernel.numpy()
    steps = kernel / (np.abs(kernel).max((0, 1, 2)) / 127)
    assert np.abs(steps - steps.round()).max() < 1e-3


def test_depthwise_weights_in_16_bits_change_next_to_nothing(model, tiles, batches):
    made = rounded(model, batches())
    for layer in made.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            kernel = layer.depthwise_kernel.numpy()
            assert (kernel == kernel.astype(np.float16)).all()
        elif "depthwise/" not in layer.name:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    assert error(model, made, tiles) < 2e-3


def test_the_shift_that_rounding_causes_is_taken_out(model, tiles, batches, monkeypatch):
    """Of the first layer, whose input is no zero on average, as that of the others: its mean stays."""

    def shift():
        means = [
            keras.Model(one.input, one.get_layer("Conv/BatchNorm").output)(tiles).numpy().mean((0, 1, 2))
            for one in (model, rounded(model, batches()))
        ]
        return np.abs(means[0] - means[1]).mean()

    corrected = shift()
    monkeypatch.setattr(
        "steps.convert.quantization._means", lambda _m, found, _b: [np.zeros(f.input.shape[-1]) for f in found]
    )
    assert corrected < 0.5 * shift()
