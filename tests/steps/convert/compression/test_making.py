"""Every form of a tile model as the file that ships: real conversions, run by the phone's runtime."""

from dataclasses import replace

import numpy as np
import pytest

from steps.core.common.choices import VARIANTS
from steps.core.common.errors import UserError
from steps.network.runtime import start_tensorflow
from tests.steps.tiny import SPEC

start_tensorflow()

from steps.convert.build import Ingredients, make, make_all  # noqa: E402
from steps.convert.gate_variants import deflated_size, latencies  # noqa: E402
from steps.device.flatbuffer import demands  # noqa: E402
from steps.device.runtime import LiteModel  # noqa: E402
from steps.network.archive import MODEL_FILE  # noqa: E402
from steps.network.backbone import save_weights  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.fixture(scope="module")
def ingredients(model, head, tiles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    save_weights(model, folder / MODEL_FILE)
    np.save(folder / "tiles.npy", tiles.astype(np.uint8))
    np.save(folder / "none.npy", tiles[:0].astype(np.uint8))
    return Ingredients(folder, "small", folder / "tiles.npy", head, SPEC)


@pytest.fixture(scope="module")
def made(ingredients):
    """Made in this process, which has fewer blocks."""
    paths = {name: ingredients.archive / name / "model.tflite" for name in VARIANTS}
    for name, path in paths.items():
        make(name, ingredients, path)
    return paths


def test_they_say_what_the_model_says(made, model, tiles):
    expected = model(tiles, training=False).numpy()
    spread = expected.std(0) + 1e-3
    # Of the spread of each feature, on average.
    limits = {"float32": 1e-4, "float16": 5e-3, "weight-int8": 0.03}
    assert set(limits) == set(VARIANTS)
    for name, limit in limits.items():
        lite = LiteModel(made[name], 1)
        apart = np.abs(np.stack([lite.tile(tile) for tile in tiles.astype(np.uint8)]) - expected).mean(0)
        assert (apart / spread).mean() < limit, name


def test_activations_are_single_operators_and_weights_in_8_bits_are_unpacked(made):
    used = {name: demands(path)["operators"] for name, path in made.items()}
    assert "HARD_SWISH" in used["float32"]
    assert "DEQUANTIZE" in used["weight-int8"]


def test_eight_bits_need_fewer_bytes_in_a_package(made):
    assert deflated_size(made["weight-int8"]) < deflated_size(made["float16"]) < deflated_size(made["float32"])


def test_latency_is_measured_for_each(made):
    times = latencies(made, repeats=1)
    assert set(times) == set(VARIANTS)
    assert all(milliseconds > 0 for milliseconds in times.values())


def test_what_needs_tiles_or_weights_that_are_not_there_is_not_made(ingredients, tmp_path):
    without = replace(ingredients, tiles=ingredients.archive / "none.npy")
    with pytest.raises(UserError, match="representative data set is empty"):
        make("weight-int8", without, tmp_path / "model.tflite")
    # By processes that build the whole backbone, the reason comes back as text.
    others = make_all(["float32"], replace(ingredients, archive=tmp_path), tmp_path, 1)
    reasons = {name: reason for name, _, reason in others}
    assert "backbone.npz does not hold this model's weights" in reasons["float32"]
