"""Eight bits for a tile model: what they must keep, what they must leave alone, and what distillation brings."""

import numpy as np
import pytest

from steps.core.common.errors import UserError
from steps.core.dataset.splits import DEVELOPMENT
from steps.network.runtime import start_tensorflow

start_tensorflow()

import tensorflow as tf  # noqa: E402
import tf_keras as keras  # noqa: E402

from steps.network.backbone import build_model, load_weights, save_weights  # noqa: E402
from steps.network.compression.cloning import copy_of  # noqa: E402
from steps.network.compression.quantizing import observe, simulated  # noqa: E402
from steps.network.compression.rounding import rounded  # noqa: E402
from steps.network.tile_input import TileSource  # noqa: E402
from steps.train.distillation import distilled  # noqa: E402
from tests.steps.tiny import SPEC, fitted  # noqa: E402

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


@pytest.fixture(scope="module")
def taught(workspace, head):
    """A model that fits the workspace's tiles, those tiles, and its student."""
    source = TileSource(workspace.tiles, workspace.shards, workspace.dataset, DEVELOPMENT)
    tiles = np.concatenate([tf.cast(pixels, tf.float32) for _, pixels in source.batches(source.frame, 64)])
    keras.utils.set_random_seed(7)
    teacher = fitted(build_model("small", SPEC.tile_size), tiles)
    before = [weight.copy() for weight in teacher.get_weights()]
    student = distilled(teacher, head, source)
    assert all((a == b).all() for a, b in zip(before, teacher.get_weights(), strict=True))
    return teacher, tiles, student


def test_a_distilled_student_says_more_nearly_what_its_teacher_says(taught):
    teacher, tiles, student = taught
    observed = simulated(teacher)
    observe(observed, iter([tiles]))
    assert error(teacher, student, tiles) < error(teacher, observed, tiles)


def test_a_student_keeps_its_teachers_statistics_and_trains_the_rest(taught):
    teacher, _, student = taught
    inner = {getattr(layer, "layer", layer).name: getattr(layer, "layer", layer) for layer in student.layers}
    for layer in teacher.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # gamma and beta are frozen as well: Keras freezes a layer, not its statistics alone.
            for ours, theirs in zip(layer.get_weights(), inner[layer.name].get_weights()[:4], strict=True):
                assert (ours == theirs).all(), layer.name
    assert np.abs(inner["Conv_1"].kernel - teacher.get_layer("Conv_1").kernel).max() > 0


def test_a_student_is_the_same_after_it_was_saved_and_loaded(taught, tmp_path):
    _, tiles, student = taught
    save_weights(student, tmp_path / "backbone-qat.npz")
    again = load_weights(simulated(build_model("small", SPEC.tile_size)), tmp_path / "backbone-qat.npz")
    assert (features(again, tiles) == features(student, tiles)).all()


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
