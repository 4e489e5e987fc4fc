"""The device contract and the card say what the gate measured and what a phone needs."""

import hashlib
import json
import re

import numpy as np
import pandas as pd
import pytest

from steps.convert.bundle import device_contract, model_card, write_summary
from steps.convert.summary import SUMMARY
from steps.core.common.errors import UserError
from steps.core.gate.limits import Limits
from steps.core.tiles.spec import PreprocessingSpec
from steps.evaluate.evaluation import Evaluation, evaluate
from steps.network.head import Head

SPEC, HEAD = PreprocessingSpec(tile_size=96), Head.of(np.arange(6.0), -1.0)
SUBJECT = {"model": "5" * 64, "bytes": 1234567, "quantization": "float16", "flipped_decisions": 0.002}
DEMANDS = {"operators": ["ADD", "MEAN"], "min_runtime_version": "2.3.0"}
GOLDEN = {"score_tolerance": 1e-4, "evidence_tolerance": 1e-3, "kernel_spread": 8e-7, "screenshots": [{"score": 0.1}]}
GOLDEN["stored_as_jpeg"] = {"largest": 0.01, "mean": 0.001, "other_decisions": 0}


def evaluation(count=4000) -> Evaluation:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 4 == 0
    frame = pd.DataFrame({"id": [f"{n:064x}" for n in range(count)], "uri": "u", "label": labels.astype(int)})
    frame = frame.assign(
        group=frame["id"],
        split=np.where(np.arange(count) % 8 < 4, "calibration", "test"),
        width=1080,
        height=2400,
        score=np.clip(0.2 + 0.6 * labels + rng.normal(0, 0.03, count), 0, 1),
    )
    return evaluate(frame, Limits(max_fpr=0.01, min_tpr=0.5), {})


@pytest.fixture(scope="module")
def passed():
    found = evaluation()
    assert found.verdict.passed, found.verdict.message
    return found


@pytest.fixture(scope="module")
def contract(passed):
    names = ("other", "promotion")
    return device_contract(passed, SPEC, HEAD, SUBJECT, demands=DEMANDS, golden=GOLDEN, classes=names, run="20261129-1")


def test_the_contract_is_json_that_holds_the_signature_the_head_and_the_threshold(contract, passed):
    assert json.loads(json.dumps(contract, allow_nan=False)) == contract
    tile = contract["signatures"]["tile"]
    assert tile["inputs"]["pixels"]["shape"] == [1, 96, 96, 3]
    assert tile["outputs"]["features"]["shape"] == [1, HEAD.width]
    assert contract["threshold"] == passed.verdict.point.threshold
    assert PreprocessingSpec.from_dict(contract["preprocessing"]) == SPEC
    rows = {name: contract["head"][name] for name in ("overview", "mean", "maximum", "bias")}
    assert Head.from_dict({"version": 1, **rows}).to_dict() == HEAD.to_dict()
    assert contract["classes"] == {"negative": "other", "positive": "promotion"}
    assert contract["run"] == "20261129-1"
    assert "screenshots" not in contract["golden"]
    assert contract["runtime"]["min_runtime_version"] == "2.3.0"


def summary_of(contract, passed, folder):
    (folder / "bundle").mkdir()
    (folder / "bundle" / "evaluation.json").write_text("{}")
    (folder / "model.tar.gz").write_text("archive")
    write_summary(folder, contract, passed, folder / "model.tar.gz")
    return json.loads((folder / "summary.json").read_text())


def test_the_summary_holds_strings_that_the_registry_knows(contract, passed, tmp_path):
    summary = summary_of(contract, passed, tmp_path)
    assert set(summary) == set(SUMMARY)
    assert all(re.fullmatch(r"[\w.:/=+@-]{1,256}", value) for value in summary.values())
    assert summary["archive_sha256"] == hashlib.sha256(b"archive").hexdigest()
    assert summary["evaluation_digest"] == "sha256:" + hashlib.sha256(b"{}").hexdigest()
    assert summary["tflite_sha256"] == "5" * 64
    assert float(summary["fpr_upper"]) <= float(summary["max_fpr"]) == 0.01


def test_the_card_tells_a_person_the_verdict_the_file_and_how_to_check_a_runtime(contract, passed):
    card = model_card(passed, contract)
    assert "**Verdict**: passed." in card
    assert f"above {contract['threshold']:.6f}" in card
    assert "1,234,567 bytes" in card
    assert "scores within 0.0001" in card
    assert "tilegate device check" in card
    without = model_card(passed, contract | {"golden": None})
    assert "golden" not in without


def test_a_model_that_did_not_pass_has_no_contract():
    few = evaluation(80)
    assert not few.verdict.passed
    with pytest.raises(UserError, match="did not pass the gate"):
        device_contract(few, SPEC, HEAD, SUBJECT, demands=DEMANDS)
