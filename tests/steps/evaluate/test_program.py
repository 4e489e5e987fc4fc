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
from tests.steps.tiny import EASY, REDUCER, Judged, seeing, tiny, write_trained

start_tensorflow()

from steps.network.tile_input import TileSource, tile_evidence  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::UserWarning")]


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
    assert written["subject"]["reducer"] == "mean"
    assert written["binary_classification_metrics"]["auc"]["value"] == 1.0
    page = (judged.evaluation / "report.html").read_text()
    assert "Passed" in page
    assert "data:image/jpeg;base64," in page
    scored = pd.read_parquet(judged.evaluation / "scores.parquet")
    (look,) = judged.looks()
    assert (look["model"], look["passed"]) == (model, True)
    assert look["screenshots"] == (scored["split"] == "test").sum()
    assert (scored["flagged"] == (scored["score"] > gate["operating_point"]["threshold"])).all()


def test_scores_are_the_models_evidence_reduced_for_each_held_out_screenshot(judged, workspace):
    assert judged.evaluate(*EASY) == 0
    scored = pd.read_parquet(judged.evaluation / "scores.parquet").set_index("id")["score"]
    source = TileSource(workspace.tiles, workspace.shards, workspace.dataset, HELD_OUT)
    rows = source.frame
    logits = pd.Series(tile_evidence(seeing(), source, rows)[:, 0], rows["id"])
    whole = logits[(rows["index"] == 0).to_numpy()]
    squares = logits[(rows["index"] > 0).to_numpy()].groupby(level=0).mean()
    expected = 1 / (1 + np.exp(-(REDUCER.scale * (whole + squares) / 2 + REDUCER.offset)))
    assert len(scored) == len(expected)
    assert scored[expected.index].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-6)


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


def test_a_model_that_scores_nan_is_written_down_as_rejected(judged, trained, tmp_path):
    model = seeing(bias=float("nan"))
    judged.replace(write_trained(tmp_path / "broken", model))
    assert judged.evaluate(*EASY) == 0
    gate = judged.verdict()
    assert gate["passed"] is False
    assert "not numbers" in gate["message"]
    assert "Rejected" in (judged.evaluation / "report.html").read_text()
    assert [look["passed"] for look in judged.looks()] == [False]


def test_the_page_shows_where_a_network_looks(judged, tmp_path):
    judged.replace(write_trained(tmp_path / "network", tiny()))
    assert judged.evaluate(*EASY) == 0
    plain = (judged.evaluation / "report.html").read_text().count("data:image/")
    judged.replace(write_trained(tmp_path / "blind", seeing()))
    assert judged.evaluate(*EASY) == 0
    assert plain > (judged.evaluation / "report.html").read_text().count("data:image/")


def test_a_model_of_other_tiles_is_not_judged(judged, trained, tmp_path, capsys):
    shutil.copytree(trained, tmp_path / "other")
    PreprocessingSpec(tile_size=64).write(tmp_path / "other")
    judged.replace(tmp_path / "other")
    assert judged.evaluate(*EASY) == 1
    assert "make tiles and model with the same settings" in capsys.readouterr().err
    assert not judged.looks()


def test_an_archive_without_its_reducer_is_not_judged(judged, trained, tmp_path, capsys):
    shutil.copytree(trained, tmp_path / "other")
    (tmp_path / "other" / "reducer.json").unlink()
    judged.replace(tmp_path / "other")
    assert judged.evaluate(*EASY) == 1
    assert "reducer.json is missing" in capsys.readouterr().err
