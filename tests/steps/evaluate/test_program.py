"""EvaluateModel: a verdict whatever the model, with its evidence, its page, and its entry in the ledger."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from steps.core.common.files import sha256_file
from steps.core.tiles.spec import PreprocessingSpec
from steps.evaluate.evaluation import HELD_OUT
from steps.network.runtime import start_tensorflow
from tests.steps.tiny import BLUE, EASY, Judged, seeing, write_trained

start_tensorflow()

from steps.evaluate import step  # noqa: E402
from steps.network.tile_input import TileSource  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.fixture(autouse=True)
def _seeing(monkeypatch):
    monkeypatch.setattr(step, "build_model", seeing)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return write_trained(tmp_path_factory.mktemp("seeing"), seeing())


@pytest.fixture
def judged(workspace, trained, tmp_path):
    return Judged(workspace, trained, tmp_path)


def test_a_model_that_passes_leaves_a_verdict_scores_a_page_and_a_look(judged, workspace):
    assert judged.evaluate(*EASY) == 0
    written = json.loads((judged.evaluation / "evaluation.json").read_text())
    gate, model = written["gate"], sha256_file(judged.root / "model" / "model.tar.gz")
    assert gate["passed"] is True, gate["message"]
    assert written["subject"]["model"] == written["subject"]["trained_model"] == model
    assert written["subject"]["hyperparameters"] == {"backbone": "small-minimalistic"}
    assert written["binary_classification_metrics"]["auc"]["value"] == 1.0
    assert written["baseline"]["found"] == gate["tpr"]["trials"]
    assert written["baseline"]["false_alarms"] <= gate["fpr"]["count"]
    page = (judged.evaluation / "report.html").read_text()
    assert "Passed" in page
    assert "ConvertToTFLite makes the file for phones" in page
    assert "data:image/jpeg;base64," in page
    scored = pd.read_parquet(judged.evaluation / "scores.parquet")
    (look,) = judged.looks()
    assert (look["model"], look["passed"]) == (model, True)
    assert look["screenshots"] == (scored["split"] == "test").sum()
    assert (scored["flagged"] == (scored["score"] > gate["operating_point"]["threshold"])).all()


def test_scores_are_the_heads_for_each_held_out_screenshot(judged, workspace):
    assert judged.evaluate(*EASY) == 0
    scored = pd.read_parquet(judged.evaluation / "scores.parquet").set_index("id")["score"]
    source = TileSource(workspace.tiles, workspace.shards, workspace.dataset, HELD_OUT)
    rows = source.frame
    means = np.empty((len(rows), 3))
    for at, tiles in source.batches(rows, 64):
        means[at.numpy()] = tiles.numpy().mean((1, 2))
    assert len(scored) == rows["id"].nunique()
    for name, own in pd.DataFrame(means, rows["id"]).groupby(level=0):
        whole, squares = own.to_numpy()[0], own.to_numpy()[1:]
        logit = BLUE.overview @ whole + BLUE.mean @ squares.mean(0) + BLUE.maximum @ squares.max(0) + BLUE.bias
        assert scored[name] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)


def test_a_model_that_ranks_worse_than_the_baseline_is_rejected(judged, trained, tmp_path, monkeypatch):
    """Both rank perfectly, until the model's head is turned around."""
    monkeypatch.setattr("steps.core.gate.paired._LEAST_GROUPS", 2)
    assert judged.evaluate(*EASY) == 0
    assert judged.verdict()["baseline"]["value"] == 0
    shutil.copytree(trained, tmp_path / "turned")
    BLUE.calibrated(-1.0, 0.0).write(tmp_path / "turned")
    judged.replace(tmp_path / "turned")
    assert judged.evaluate(*EASY) == 0
    gate = judged.verdict()
    assert gate["baseline"]["upper"] < 0
    assert "ranks worse than the baseline" in gate["message"]


def test_a_rejection_is_a_result_too_with_its_reasons(judged):
    assert judged.evaluate("--max-fpr", "0.01") == 0
    gate = judged.verdict()
    assert gate["passed"] is False
    assert gate["failed_checks"] == len(gate["reasons"]) > 0
    assert "Rejected" in (judged.evaluation / "report.html").read_text()
    assert [look["passed"] for look in judged.looks()] == [False]


def test_the_same_look_twice_is_one_entry_and_another_limit_another(judged):
    for words in (EASY, EASY, ("--max-fpr", "0.8", "--min-tpr", "0.001")):
        assert judged.evaluate(*words) == 0
    assert len(judged.looks()) == 2


def test_earlier_looks_are_counted(judged):
    assert judged.evaluate(*EASY) == 0
    (judged.root / "ledger" / "ledger.json").write_text(json.dumps(judged.looks()))
    assert judged.evaluate("--max-fpr", "0.8", "--min-tpr", "0.001") == 0
    assert judged.verdict()["ledger"]["looks"] == 2


@pytest.mark.parametrize("damage", ["[{}]", "{", None])
def test_a_ledger_that_cannot_be_read_fails_the_gate(judged, damage):
    path = judged.root / "ledger" / "ledger.json"
    path.unlink()
    if damage is not None:
        path.write_text(damage)
    assert judged.evaluate(*EASY) == 0
    gate = judged.verdict()
    assert gate["passed"] is False
    assert "ledger.json" in gate["message"]


def test_a_champion_that_cannot_be_read_fails_the_gate(judged):
    (judged.root / "champion" / "champion.json").unlink()
    assert judged.evaluate(*EASY) == 0
    gate = judged.verdict()
    assert gate["passed"] is False
    assert "not a readable model archive" in gate["message"]


def test_a_model_that_scores_nan_is_written_down_as_rejected(judged, monkeypatch):
    monkeypatch.setattr(step, "build_model", lambda *words: seeing(*words, scale=float("nan")))
    assert judged.evaluate(*EASY) == 0
    gate = judged.verdict()
    assert gate["passed"] is False
    assert "not numbers" in gate["message"]
    assert "Rejected" in (judged.evaluation / "report.html").read_text()
    assert [look["passed"] for look in judged.looks()] == [False]


def test_a_model_of_other_tiles_is_not_judged(judged, trained, tmp_path, capsys):
    shutil.copytree(trained, tmp_path / "other")
    PreprocessingSpec(tile_size=64).write(tmp_path / "other")
    judged.replace(tmp_path / "other")
    assert judged.evaluate(*EASY) == 1
    assert "make tiles and model with the same settings" in capsys.readouterr().err
    assert not judged.looks()


def test_an_archive_without_its_head_is_not_judged(judged, trained, tmp_path, capsys):
    shutil.copytree(trained, tmp_path / "other")
    (tmp_path / "other" / "head.json").unlink()
    judged.replace(tmp_path / "other")
    assert judged.evaluate(*EASY) == 1
    assert "head.json is missing" in capsys.readouterr().err
