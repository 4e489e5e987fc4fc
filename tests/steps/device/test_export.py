"""The file for the phone: one signature, weights once and aligned, and the head that makes a score of features."""

import numpy as np
import pytest

from steps.core.common.errors import UserError
from steps.core.tiles.cutting import cut_tiles
from steps.core.tiles.spec import PreprocessingSpec
from steps.device.flatbuffer import model_bytes, read_model
from steps.device.runtime import LiteModel
from steps.network.head import Head
from tests.steps.device.conftest import HEAD
from tests.steps.tiny import SPEC

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=[True, False], ids=["xnnpack", "plain"])
def lite(converted, request):
    return LiteModel(converted, 1, accelerated=request.param)


def test_the_tile_signature_gives_the_features_alone(lite, telling):
    tile = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert (lite.tile(tile) == telling.features([tile])[0]).all()


@pytest.mark.parametrize("shape", [(40, 300, 3), (1599, 719, 3), (20, 1, 3)])
def test_a_screenshot_is_scored_by_the_head_that_the_file_carries(lite, telling, shape):
    pixels = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    tiles = cut_tiles(pixels, SPEC)
    score, evidence = lite.screenshot(pixels)
    assert evidence == pytest.approx(telling.evidence(tiles), abs=1e-9)
    assert score == pytest.approx(telling.score(tiles), abs=1e-9)


def test_the_weights_are_in_the_file_once_and_aligned(converted, telling):
    data = converted.read_bytes()
    # The converter keeps a dense layer's weights by output.
    weights = telling.weights.T.astype(np.float32).tobytes()
    assert data.count(weights) == 1
    assert data.index(weights) % 16 == 0


def test_only_built_in_operators_and_one_signature(converted):
    model = read_model(converted)
    assert not any(code.customCode for code in model.operatorCodes)
    assert [signature.signatureKey for signature in model.signatureDefs] == [b"tile"]
    assert len(model.subgraphs) == 1


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
