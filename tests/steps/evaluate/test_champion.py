"""The champion decides with its own bytes and its own threshold; one that cannot is a reason to fail, never to pass."""

import json

import numpy as np
import pytest

from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file, write_json
from steps.core.dataset.splits import Split
from steps.core.gate.champion import Champion
from steps.core.tiles.spec import PreprocessingSpec
from steps.network.archive import pack
from steps.network.head import Head
from steps.network.runtime import start_tensorflow
from tests.steps.tiny import BLUE, SPEC, seeing

start_tensorflow()

from steps.device.export import export  # noqa: E402
from steps.evaluate.champion import read_champion  # noqa: E402
from steps.network.tile_input import TileSource  # noqa: E402

pytestmark = pytest.mark.integration

THRESHOLD = 0.5
# By this head what is not blue is positive: it decides otherwise than any candidate would.
HEAD = Head.of(-BLUE.weights, -BLUE.bias)
# In the model's only operation before pooling, so that it stands in the file.
SCALE = 1.03125


@pytest.fixture(scope="module")
def source(workspace):
    return TileSource(workspace.tiles, workspace.shards, workspace.dataset, [Split.TEST])


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    path = tmp_path_factory.mktemp("champion") / "model.tflite"
    export(seeing(scale=SCALE), HEAD, SPEC, path)
    return path


@pytest.fixture
def bundle(lite, tmp_path):
    """Its unpacked bundle, to be spoiled and packed."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "model.tflite").write_bytes(lite.read_bytes())
    write_json(folder / "model.json", {"sha256": sha256_file(lite), "threshold": THRESHOLD})
    HEAD.write(folder)
    SPEC.write(folder)
    return folder


@pytest.fixture
def read(bundle, source, tmp_path):
    def packed_and_read():
        pack(bundle, tmp_path / "champion" / "model.tar.gz")
        return read_champion(tmp_path / "champion", source)

    return packed_and_read


def test_a_champion_decides_every_test_screenshot_by_its_own_bytes(read, source, lite):
    champion = read()
    assert isinstance(champion, Champion)
    assert sha256_file(lite)[:12] in champion.name
    first = source.frame.drop_duplicates("id")
    assert champion.flagged == dict(zip(first["id"], (first["label"] == 0).tolist(), strict=True))


def test_it_decides_at_its_own_threshold(read, bundle):
    contract = json.loads((bundle / "model.json").read_text())
    for threshold, flags in ((0.0, True), (1.0, False)):
        write_json(bundle / "model.json", {**contract, "threshold": threshold})
        assert set(read().flagged.values()) == {flags}


def test_it_scores_by_its_own_head(read, bundle):
    """One whose every score is near 0: at its threshold it then flags nothing."""
    HEAD.calibrated(0.01, -9.0).write(bundle)
    assert set(read().flagged.values()) == {False}


def test_only_the_mark_says_that_there_is_none(source, tmp_path):
    write_json(tmp_path / "champion.json", {"champion": None})
    assert read_champion(tmp_path, source) is None


@pytest.mark.parametrize("mark", [{"champion": 3}, {}, [], None])
def test_a_mark_that_says_anything_else_is_unreadable(source, tmp_path, mark):
    write_json(tmp_path / "champion.json", mark)
    found = read_champion(tmp_path, source)
    assert isinstance(found, UserError)
    assert "which says that there is none" in str(found)


def test_a_mark_that_is_no_json_is_unreadable(source, tmp_path):
    (tmp_path / "champion.json").write_text("{")
    assert "is not readable JSON" in str(read_champion(tmp_path, source))


def test_an_archive_that_is_missing_or_damaged_is_unreadable(source, tmp_path):
    assert "not a readable model archive" in str(read_champion(tmp_path, source))
    (tmp_path / "model.tar.gz").write_bytes(b"nothing")
    assert "not a readable model archive" in str(read_champion(tmp_path, source))


def spoil_contract(**change):
    def spoil(bundle):
        contract = json.loads((bundle / "model.json").read_text()) | change
        (bundle / "model.json").write_text(json.dumps({k: v for k, v in contract.items() if v is not None}))

    return spoil


def no_model(bundle):
    (bundle / "model.tflite").write_bytes(b"no model")
    spoil_contract(sha256=sha256_file(bundle / "model.tflite"))(bundle)


SPOILT = {
    "no threshold": (spoil_contract(threshold=None), "no sha256 and threshold"),
    "no sha256": (spoil_contract(sha256=None), "no sha256 and threshold"),
    "threshold of text": (spoil_contract(threshold="high"), "no sha256 and threshold"),
    "contract is a list": (lambda b: (b / "model.json").write_text("[]"), "no sha256 and threshold"),
    "threshold is NaN": (spoil_contract(threshold=float("nan")), "threshold is nan"),
    "threshold is infinite": (spoil_contract(threshold=float("-inf")), "threshold is -inf"),
    "no contract": (lambda b: (b / "model.json").unlink(), "model.json is missing"),
    "wrong sha256": (spoil_contract(sha256="0" * 64), "but model.json is about 000000000000"),
    "no model": (lambda b: (b / "model.tflite").unlink(), "the bundle has no model.tflite"),
    "no TFLite": (no_model, "not a model that this LiteRT runs"),
    "other tiles": (PreprocessingSpec(tile_size=64).write, "tiles of spec"),
    "no head": (lambda b: (b / "head.json").unlink(), "head.json is missing"),
    "other head": (Head.of(np.ones(6), 0.0).write, "features of shape"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_champion_that_cannot_decide_is_unreadable_and_says_why(read, bundle, name):
    spoil, reason = SPOILT[name]
    spoil(bundle)
    found = read()
    assert isinstance(found, UserError)
    assert reason in str(found)


def test_a_champion_that_scores_nan_proves_nothing(read, bundle):
    whole = (bundle / "model.tflite").read_bytes()
    spoilt = whole.replace(*(np.array([factor], "<f4").tobytes() for factor in (SCALE, np.nan)))
    assert spoilt != whole
    (bundle / "model.tflite").write_bytes(spoilt)
    spoil_contract(sha256=sha256_file(bundle / "model.tflite"))(bundle)
    assert "as no number" in str(read())
