"""The graph of the phone cuts and resizes bit for bit as training does, and shares its weights."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from steps.core.common.errors import UserError
from steps.core.tiles.cutting import cut_tiles
from steps.core.tiles.decode import MAX_ASPECT
from steps.core.tiles.spec import PreprocessingSpec
from steps.device.flatbuffer import model_bytes, read_model
from steps.device.runtime import LiteModel
from steps.network.head import Head
from tests.steps.device.conftest import HEAD
from tests.steps.tiny import SPEC

pytestmark = pytest.mark.integration

SIDES = st.integers(1, 420)


@pytest.fixture(scope="module", params=[True, False], ids=["xnnpack", "plain"])
def lite(converted, request):
    return LiteModel(converted, 1, accelerated=request.param)


@given(SIDES, SIDES, st.integers(0, 2**32 - 1))
@example(1, 1, 0)
@example(1, 20, 0)
@example(20, 1, 0)
@example(32, 32, 0)
@example(63, 127, 0)
@example(64, 64, 0)
@example(64, 640, 0)
@example(65, 1289, 0)
@example(1080, 2400, 0)
@example(2400, 1080, 0)
@example(1080, 2340, 0)
@example(719, 1599, 0)
@example(333, 5000, 0)
def test_the_graph_sees_the_very_tiles_that_training_sees(lite, telling, width, height, seed):
    if max(width, height) > MAX_ASPECT * min(width, height):
        return
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    tiles = cut_tiles(pixels, SPEC)
    score, evidence = lite.screenshot(pixels)
    # A single grey level of a single pixel would be seen.
    assert evidence == pytest.approx(telling.evidence(tiles), abs=2.0**-20)
    assert score == pytest.approx(telling.score(tiles), abs=1e-6)


def test_the_tile_signature_gives_the_features_alone(lite, telling):
    tile = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert (lite.tile(tile) == telling.features([tile])[0]).all()


def test_screenshots_of_other_sizes_may_follow_each_other(lite, telling):
    rng = np.random.default_rng(2)
    for width, height in [(300, 40), (40, 300), (200, 200), (300, 40)]:
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        assert lite.screenshot(pixels)[1] == pytest.approx(telling.evidence(cut_tiles(pixels, SPEC)), abs=2.0**-20)


def test_the_weights_are_in_the_file_once_and_aligned(converted, telling):
    data = converted.read_bytes()
    # The converter keeps a dense layer's weights by output.
    weights = telling.weights.T.astype(np.float32).tobytes()
    assert data.count(weights) == 1
    assert data.index(weights) % 16 == 0


def test_only_built_in_operators_and_the_tile_signature_first(converted):
    model = read_model(converted)
    assert not any(code.customCode for code in model.operatorCodes)
    assert {signature.signatureKey: signature.subgraphIndex for signature in model.signatureDefs} == {
        b"tile": 0,
        b"screenshot": 1,
    }


def test_a_runtime_gets_no_leave_to_compute_in_sixteen_bits(converted, tmp_path):
    from steps.device.metadata import finish

    model = read_model(converted)
    hint = type(model.metadata[0])()
    hint.name, hint.buffer = "reduced_precision_support", 0
    model.metadata.append(hint)
    (tmp_path / "hinted.tflite").write_bytes(model_bytes(model))
    finish(tmp_path / "hinted.tflite", HEAD, SPEC)
    assert b"reduced_precision_support" not in (tmp_path / "hinted.tflite").read_bytes()


def test_a_head_or_a_spec_of_another_model_is_refused(telling, tmp_path):
    from steps.device.export import export

    with pytest.raises(UserError, match="all three must be of one training"):
        export(telling.model, Head.of(np.ones(9), 0.0), SPEC, tmp_path / "m.tflite")
    with pytest.raises(UserError, match="all three must be of one training"):
        export(telling.model, HEAD, PreprocessingSpec(tile_size=64), tmp_path / "m.tflite")
    with pytest.raises(UserError, match="one of float32, float16 is wanted"):
        export(telling.model, HEAD, SPEC, tmp_path / "m.tflite", mode="int4")
