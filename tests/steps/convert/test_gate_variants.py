"""Variants held against the trained model: flips, the representative tiles, and rows that survive each other."""

import numpy as np
import pandas as pd
import pytest

from steps.core.common.errors import UserError
from steps.core.dataset.splits import Split
from steps.evaluate.evaluation import HELD_OUT
from steps.network.runtime import start_tensorflow
from tests.steps.tiny import BACKBONE, BLUE, SPEC

start_tensorflow()

from steps.convert import gate_variants  # noqa: E402
from steps.convert.build import Ingredients  # noqa: E402
from steps.convert.quantization import write_representative  # noqa: E402
from steps.network.tile_input import TileSource  # noqa: E402

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def source(workspace):
    return TileSource(workspace.tiles, workspace.shards, workspace.dataset, HELD_OUT)


def decisions(*flagged):
    return pd.DataFrame({"id": [f"{n}" for n in range(len(flagged))], "flagged": flagged})


def test_flips_are_counted_by_screenshot_whatever_their_order():
    ours, theirs = decisions(True, False, False, True), decisions(True, True, False, True)
    assert gate_variants.flipped(ours, theirs) == 0.25
    assert gate_variants.flipped(ours.iloc[::-1], theirs) == 0.25
    assert gate_variants.flipped(ours, ours) == 0


def test_decisions_on_other_screenshots_are_refused(tmp_path):
    for theirs in (decisions(True), decisions(True, False, False), decisions(True, False).assign(id=["0", "7"])):
        with pytest.raises(UserError, match="evaluated on other screenshots"):
            gate_variants.flipped(decisions(True, False), theirs)
    with pytest.raises(UserError, match="evaluate the trained model first"):
        gate_variants.read_decisions(tmp_path)


def test_representative_tiles_are_calibration_tiles_and_the_same_every_time(source, tmp_path):
    for name in ("one", "two"):
        write_representative(source, tmp_path / f"{name}.npy", most=7)
    tiles = np.load(tmp_path / "one.npy")
    assert tiles.shape == (7, source.spec.tile_size, source.spec.tile_size, 3)
    assert (tiles == np.load(tmp_path / "two.npy")).all()
    calibration = np.concatenate([pixels for _, pixels in source.batches(source.rows(Split.CALIBRATION), 64)])
    assert all((tile == calibration).all((1, 2, 3)).any() for tile in tiles)
    # Red tells the screenshot: they come of more than one.
    assert len({int(tile[..., 0].mean().round()) for tile in tiles}) > 1


def test_without_calibration_screenshots_the_representative_set_is_empty(workspace, tmp_path):
    source = TileSource(workspace.tiles, workspace.shards, workspace.dataset, [Split.TEST])
    write_representative(source, tmp_path / "none.npy")
    assert len(np.load(tmp_path / "none.npy")) == 0


def test_what_cannot_be_made_or_run_is_a_row_with_its_reason(tmp_path, monkeypatch):
    (tmp_path / "broken.tflite").write_bytes(b"no model")

    def made(names, _ingredients, _folder, _workers):
        yield names[0], tmp_path / "nowhere", "the model was trained without it"
        yield names[1], tmp_path / "broken.tflite", ""

    monkeypatch.setattr(gate_variants, "make_all", made)
    ingredients = Ingredients(tmp_path, BACKBONE, tmp_path / "t.npy", BLUE, SPEC)
    found = gate_variants.gate_all(["float32", "weight-int8"], ingredients, None, None, decisions(), folder=tmp_path)
    assert [one.variant.name for one in found] == ["float32", "weight-int8"]
    assert found[0].variant.reason == "the model was trained without it"
    assert "broken.tflite is not a model that this LiteRT runs" in found[1].variant.reason
    assert all(one.evaluation is None and one.variant.latency_ms is None for one in found)
