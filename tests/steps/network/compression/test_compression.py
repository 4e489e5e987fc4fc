"""Eight bits for a tile model: what they must keep, and what they must leave alone."""

import numpy as np
import pytest

from steps.core.common.errors import UserError
from steps.network.runtime import start_tensorflow

start_tensorflow()

import tf_keras as keras  # noqa: E402

from steps.network.compression.cloning import copy_of  # noqa: E402
from steps.network.compression.quantizing import observe, simulated  # noqa: E402
from steps.network.compression.rounding import rounded  # noqa: E402

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore:.*np.product.*"),
]


SQUEEZE = "expanded_conv/squeeze_excite/"


def features(model, tiles):
    return model(tiles, training=False).numpy()


def error(model, other, tiles):
    """The mean difference of two models' features, by each feature's own spread."""
    found = features(model, tiles)
    return (np.abs(features(other, tiles) - found).mean(0) / (found.std(0) + 1e-3)).mean()


def test_observed_ranges_keep_what_the_model_says_and_change_no_weight(model, tiles, batches):
    made = simulated(model)
    before = error(model, made, tiles)
    trained = [weight.numpy() for weight in made.trainable_weights]
    observe(made, batches())
    assert error(model, made, tiles) < min(0.3, before)
    assert all((a == b.numpy()).all() for a, b in zip(trained, made.trainable_weights, strict=True))


def test_a_bias_beside_weights_that_are_all_but_zero_fits_into_32_bits(model, batches):
    dead = copy_of(model)
    for name, bias in (("Conv", -5.0), ("Conv_1", 3.0)):
        kernel = dead.get_layer(SQUEEZE + name).kernel
        weights = [np.full(kernel.shape, 1e-9, np.float32), np.full(kernel.shape[-1], bias)]
        dead.get_layer(SQUEEZE + name).set_weights(weights)
    made = simulated(dead)
    observe(made, batches())
    # What comes in is the output of a ReLU that never fires.
    low, high = (w.numpy() for w in made.get_layer(f"quant_{SQUEEZE}Relu").weights if "output" in w.name)
    weights = next(w.numpy() for w in made.get_layer(f"quant_{SQUEEZE}Conv_1").weights if "kernel_max" in w.name)
    assert (3.0 / (weights / 127 * (high - low) / 255)).max() < 2**31


def test_without_representative_tiles_there_are_no_ranges(model):
    for make in (lambda: observe(simulated(model), iter(())), lambda: rounded(model, iter(()))):
        with pytest.raises(UserError, match="representative data set is empty"):
            make()


def test_rounded_weights_are_on_a_grid_of_255_values_a_channel(model, batches):
    made = rounded(model, batches())
    kernel = made.get_layer("expanded_conv_1/project").kernel.numpy()
    steps = kernel / (np.abs(kernel).max((0, 1, 2)) / 127)
    assert np.abs(steps - steps.round()).max() < 1e-3


def test_depthwise_weights_in_16_bits_change_next_to_nothing(model, tiles, batches):
    made = rounded(model, batches(), depthwise=False)
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
        "steps.network.compression.rounding._means", lambda _m, found, _b: [np.zeros(f.input.shape[-1]) for f in found]
    )
    assert corrected < 0.5 * shift()
