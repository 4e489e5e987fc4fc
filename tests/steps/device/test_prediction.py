"""Predictions by the bytes that ship."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from pipelines.cli import cli
from steps.core.common.files import sha256_file
from steps.core.tiles.cutting import cut_tiles
from steps.device.contract import CONTRACT_FILE, TFLITE_FILE
from tests.steps.tiny import SPEC

pytestmark = pytest.mark.integration


@pytest.fixture
def bundle(converted, tmp_path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    shutil.copyfile(converted, folder / TFLITE_FILE)
    contract = {"sha256": sha256_file(converted), "threshold": 0.5}
    (folder / CONTRACT_FILE).write_text(json.dumps(contract))
    return folder


@pytest.fixture
def shot(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (90, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "shot.png")
    return tmp_path / "shot.png"


def predict(*words):
    return CliRunner().invoke(cli, ["predict", *map(str, words)])


def test_a_screenshot_is_scored_as_the_model_does_with_each_tiles_share(bundle, shot, telling, tmp_path):
    for model in (bundle, bundle / TFLITE_FILE):
        told = json.loads(predict(model, shot, "--json").output)
        (one,) = told["predictions"]
        tiles = cut_tiles(np.asarray(Image.open(shot)), SPEC)
        assert one["score"] == pytest.approx(telling.score(tiles), abs=1e-5)
        assert one["positive"] == (one["score"] > told["threshold"])
        assert [tile["evidence"] for tile in one["tiles"]] == pytest.approx(list(telling.evidence(tiles)), abs=1e-4)
        assert [tile["top"] for tile in one["tiles"]] == [0, 0, 25, 50]
    done = predict(bundle, shot, "--html", tmp_path / "page.html")
    assert ("positive" if one["positive"] else "negative") in done.output
    page = (tmp_path / "page.html").read_text()
    assert page.count("<rect") == 3
    assert "shot.png" in page


def test_what_cannot_be_read_is_named_and_the_others_are_scored(bundle, shot, tmp_path):
    (tmp_path / "no.png").write_text("no picture")
    done = predict(bundle, shot, tmp_path / "no.png", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert len(told["predictions"]) == len(told["refused"]) == 1
    assert "no.png: not a readable PNG" in done.stderr


def test_a_model_that_its_contract_is_not_about_is_refused(bundle, shot):
    with (bundle / TFLITE_FILE).open("ab") as stream:
        stream.write(b"x")
    assert "export the bundle again" in str(predict(bundle, shot).exception)
    assert "is neither a version's number" in str(predict("nowhere", shot).exception)
