"""Compression of a tile model: what it must make of the weights, and what it must leave alone."""

import numpy as np
import pytest

from steps.core.common.choices import COMPRESSIONS
from steps.core.common.errors import UserError
from steps.network.runtime import start_tensorflow

start_tensorflow()

import tf_keras as keras  # noqa: E402
from steps.network.compression.kinds import compress, load_variant, save_variant  # noqa: E402
from steps.network.compression.pruning import prune  # noqa: E402

from steps.network.compression.quantizing import observe, simulated  # noqa: E402
from steps.network.compression.rounding import rounded  # noqa: E402
from tests.steps.kernels import most_values, sparsity  # noqa: E402

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore:.*np.product.*"),
]


def evidence(model, tiles):
    return model(tiles, training=False).numpy()


def agreement(one, other):
    return min(np.corrcoef(one[:, column], other[:, column])[0, 1] for column in range(one.shape[1]))


@pytest.fixture(scope="module")
def compressed(model, fit, batches):
    before = [weight.copy() for weight in model.get_weights()]
    made = {kind: compress(model, kind, fit, steps=6, tiles=batches) for kind in COMPRESSIONS}
    # What is compressed stays as it is.
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    return made


def test_statistics_are_frozen_through_every_wrapper_and_the_rest_is_trained(model, compressed):
    for kind, made in compressed.items():
        inner = {getattr(layer, "layer", layer).name: getattr(layer, "layer", layer) for layer in made.layers}
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                # gamma and beta are frozen as well: Keras freezes a layer, not its statistics alone.
                for ours, theirs in zip(layer.get_weights(), inner[layer.name].get_weights()[:4], strict=True):
                    assert (ours == theirs).all(), (kind, layer.name)
        assert np.abs(inner["evidence"].kernel - model.get_layer("evidence").kernel).max() > 0, kind


def test_half_of_each_large_kernel_is_pruned_and_nothing_else(model, compressed):
    assert sparsity(compressed["prune"]) == pytest.approx(0.5, abs=0.01)
    assert sparsity(model) == 0
    for name in ("Conv", "evidence"):
        assert (compressed["prune"].get_layer(name).get_weights()[0] != 0).all()


def test_pruning_reaches_its_sparsity_if_training_goes_back_to_its_first_epoch(model):
    def nothing(wrapped, callbacks):
        for callback in callbacks:
            callback.on_train_begin()
            callback.on_epoch_end(0)

    made = prune(model, nothing, steps=6, sparsity=0.25)
    assert sparsity(made) == pytest.approx(0.25, abs=0.01)
    kernel, before = (m.get_layer("expand").kernel.numpy() for m in (made, model))
    kept = kernel != 0
    assert (kernel[kept] == before[kept]).all()
    assert np.abs(before[~kept]).max() <= np.abs(before[kept]).min()


def test_large_kernels_have_sixteen_values_after_clustering(model, compressed):
    assert most_values(compressed["cluster"]) <= 16
    assert most_values(model) > 16


def test_a_pruned_model_stays_pruned_when_it_is_trained_with_eight_bits(compressed):
    kernels = [
        next(weight.numpy() for weight in layer.weights if weight.name.endswith("/kernel:0"))
        for layer in compressed["prune-qat"].layers
        if type(getattr(layer, "layer", None)) is keras.layers.Conv2D and layer.layer.name != "Conv"
    ]
    zeros, weights = sum((k == 0).sum() for k in kernels), sum(k.size for k in kernels)
    assert zeros / weights == pytest.approx(0.5, abs=0.02)


def test_every_kind_is_the_same_model_after_it_was_saved_and_loaded(compressed, tiles, tmp_path):
    for kind, made in compressed.items():
        save_variant(made, tmp_path, kind)
        assert np.abs(evidence(load_variant(tmp_path, kind), tiles) - evidence(made, tiles)).max() < 1e-5, kind


def test_what_was_not_trained_or_is_damaged_is_named(tmp_path):
    with pytest.raises(UserError, match="train with compress=qat"):
        load_variant(tmp_path, "qat")
    (tmp_path / "variants").mkdir()
    (tmp_path / "variants" / "qat.h5").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"qat\.h5 is not a readable"):
        load_variant(tmp_path, "qat")
    with pytest.raises(UserError, match="one of prune, cluster"):
        compress(None, "squash", None, steps=1, tiles=None)


def test_observed_ranges_keep_what_the_model_says(model, tiles, batches):
    made = simulated(model)
    before = agreement(evidence(model, tiles), evidence(made, tiles))
    observe(made, batches())
    assert agreement(evidence(model, tiles), evidence(made, tiles)) > max(0.9, before)


def test_observing_changes_no_weight_and_leaves_dropout_on_for_training(model, batches):
    made = simulated(model)
    trained = [weight.numpy() for weight in made.trainable_weights]
    observe(made, batches())
    assert all((a == b.numpy()).all() for a, b in zip(trained, made.trainable_weights, strict=True))
    assert made.get_layer("dropout").rate == 0.5


def test_a_bias_beside_weights_that_are_all_but_zero_fits_into_32_bits(model, batches):
    dead = keras.models.clone_model(model)
    dead.set_weights(model.get_weights())
    for name, bias in (("squeeze", -5.0), ("excite", 3.0)):
        kernel = dead.get_layer(name).kernel
        dead.get_layer(name).set_weights([np.full(kernel.shape, 1e-9, np.float32), np.full(kernel.shape[-1], bias)])
    made = simulated(dead)
    observe(made, batches())
    # What comes in is the output of a ReLU that never fires.
    low, high = (w.numpy() for w in made.get_layer("quant_Relu").weights if "output" in w.name)
    weights = next(w.numpy() for w in made.get_layer("quant_excite").weights if "kernel_max" in w.name)
    assert (3.0 / (weights / 127 * (high - low) / 255)).max() < 2**31


def test_without_representative_tiles_there_are_no_ranges(model):
    for make in (lambda: observe(simulated(model), iter(())), lambda: rounded(model, iter(()))):
        with pytest.raises(UserError, match="representative data set is empty"):
            make()


def test_rounded_weights_are_on_a_grid_of_255_values_a_channel(model, batches):
    made = rounded(model, batches())
    kernel = made.get_layer("project").kernel.numpy()
    steps = kernel / (np.abs(kernel).max((0, 1, 2)) / 127)
    assert np.abs(steps - steps.round()).max() < 1e-3


def test_depthwise_weights_in_16_bits_change_next_to_nothing(model, tiles, batches):
    made = rounded(model, batches(), depthwise=False)
    kernel = made.get_layer("depthwise").depthwise_kernel.numpy()
    assert (kernel == kernel.astype(np.float16)).all()
    for name in ("Conv", "expand", "squeeze", "excite", "project"):
        made.get_layer(name).set_weights(model.get_layer(name).get_weights())
    for name in ("Conv", "expand", "project"):
        made.get_layer(name + "/BatchNorm").set_weights(model.get_layer(name + "/BatchNorm").get_weights())
    before = evidence(model, tiles)
    assert np.abs(evidence(made, tiles) - before).mean() < 2e-3 * before.std()


def test_the_shift_that_rounding_causes_is_taken_out(model, tiles, batches, monkeypatch):
    before = evidence(model, tiles)
    corrected = np.abs(evidence(rounded(model, batches()), tiles) - before).mean()
    monkeypatch.setattr(
        "steps.network.compression.rounding._means", lambda _m, found, _b: [np.zeros(f.input.shape[-1]) for f in found]
    )
    assert corrected < 0.7 * np.abs(evidence(rounded(model, batches()), tiles) - before).mean()
