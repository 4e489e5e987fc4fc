"""Every form of a tile model as the file that ships: real conversions, run by the phone's runtime."""

import numpy as np
import pytest
from steps.network.reducer import Reducer

from steps.core.common.choices import VARIANTS
from steps.core.tiles.spec import PreprocessingSpec
from steps.network.runtime import start_tensorflow

start_tensorflow()

from steps.network.compression.kinds import compress, save_variant  # noqa: E402

from steps.convert.build import INTEGER, Ingredients, make_all  # noqa: E402
from steps.convert.measure import deflated_size, latencies, operators  # noqa: E402
from steps.device.runtime import LiteModel  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::UserWarning")]

UNTRAINED = "prune-qat"


@pytest.fixture(scope="module")
def archive(model, fit, batches, tiles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    model.save(folder / "model.keras")
    for kind in ("prune", "cluster", "qat"):
        save_variant(compress(model, kind, fit, steps=6, tiles=batches), folder, kind)
    np.save(folder / "tiles.npy", tiles.astype(np.uint8))
    np.save(folder / "none.npy", tiles[:0].astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def made(archive):
    ingredients = Ingredients(archive, archive / "tiles.npy", Reducer("mean"), PreprocessingSpec(tile_size=32))
    return {name: (path, reason) for name, path, reason in make_all(VARIANTS, ingredients, archive / "made", 2)}


def test_all_are_made_but_what_was_not_trained_which_is_named(made):
    assert {name for name, (_, reason) in made.items() if reason} == {UNTRAINED}
    assert "train with compress=prune-qat" in made[UNTRAINED][1]
    assert not made[UNTRAINED][0].exists()


def test_they_say_what_the_model_says(made, model, tiles):
    expected = model(tiles, training=False).numpy()
    spread = expected.std(0).min()
    # Of the spread of the evidence, at most.
    limits = {"float32": 1e-4, "float16": 5e-3, "dynamic": 0.2, "weight-int8": 0.03, "int8": 0.3}
    for name, limit in limits.items():
        lite = LiteModel(made[name][0], 1)
        error = np.abs(np.stack([lite.tile(tile) for tile in tiles.astype(np.uint8)]) - expected).mean()
        assert error < limit * spread, (name, error / spread)


def test_integer_variants_compute_with_integers_but_for_pixels_and_head(made):
    floats = {name: operators(path)[1] for name, (path, reason) in made.items() if not reason}
    # Scaling and shifting of pixels, and the head.
    assert all(floats[name] <= 3 for name in INTEGER if name in floats)
    assert floats["float32"] > 10


def test_pruned_and_clustered_weights_need_fewer_bytes_in_a_package(made):
    sizes = {name: deflated_size(path) for name, (path, reason) in made.items() if not reason}
    assert sizes["prune"] < sizes["weight-int8"] < sizes["float32"]
    assert sizes["cluster"] < sizes["weight-int8"]


def test_latency_is_measured_for_each(made):
    times = latencies({name: path for name, (path, reason) in made.items() if not reason}, repeats=1)
    assert set(times) == {*VARIANTS} - {UNTRAINED}
    assert all(milliseconds > 0 for milliseconds in times.values())


def test_without_representative_tiles_only_those_that_need_none_are_made(archive):
    ingredients = Ingredients(archive, archive / "none.npy", Reducer("mean"), PreprocessingSpec(tile_size=32))
    found = {name: reason for name, _, reason in make_all(["float16", "int8"], ingredients, archive / "empty", 2)}
    assert not found["float16"]
    assert "representative data set is empty" in found["int8"]
