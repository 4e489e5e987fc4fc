"""Tile scores become screenshot scores, and an evaluation that keeps Model Monitor's names."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.errors import UserError
from steps.core.evaluation import binary_metrics, evaluate
from steps.core.gate import Limits
from steps.core.hyperparameters import Hyperparameters
from steps.core.scores import roc, screenshot_scores, tpr_at_fpr

TILES = pd.DataFrame({"id": ["a", "a", "b", "c", "c", "c"], "label": [1, 1, 0, 0, 0, 0]})


def test_a_screenshot_scores_as_its_highest_tile():
    scored = screenshot_scores(TILES, np.array([0.1, 0.9, 0.2, 0.3, 0.3, 0.1]))
    assert dict(zip(scored["id"], scored["score"], strict=True)) == {"a": 0.9, "b": 0.2, "c": 0.3}
    assert scored["label"].tolist() == [1, 0, 0]


def test_a_tile_without_a_score_spoils_its_screenshot_alone():
    scored = screenshot_scores(TILES, np.array([np.nan, 0.9, 0.2, 0.3, 0.3, 0.1]))
    assert scored["score"].isna().tolist() == [True, False, False]


def test_every_tile_is_scored_once():
    with pytest.raises(UserError, match="every tile"):
        screenshot_scores(TILES, np.zeros(5))


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=60), st.floats(0, 0.5))
def test_tpr_at_fpr_is_reached_by_a_threshold_that_keeps_the_fpr(pairs, fpr):
    scores, labels = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    found = tpr_at_fpr(scores, labels, fpr)
    if len(set(labels)) < 2:
        assert np.isnan(found)
        return
    candidates = [-1.0, *scores]
    possible = [np.mean(scores[labels == 1] > t) for t in candidates if np.mean(scores[labels == 0] > t) <= fpr + 1e-9]
    assert found == pytest.approx(max(possible))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), min_size=2, max_size=40))
def test_the_area_under_the_roc_is_the_chance_that_a_positive_ranks_higher(pairs):
    scores, labels = np.array([p[0] / 5 for p in pairs]), np.array([p[1] for p in pairs])
    if len(set(labels)) < 2:
        return
    positives, negatives = scores[labels == 1][:, None], scores[labels == 0][None]
    chance = np.mean((positives > negatives) + 0.5 * (positives == negatives))
    false, true = roc(scores, labels)
    assert np.trapezoid(true, false) == pytest.approx(chance)


def test_metrics_have_model_monitors_names_and_values():
    scores, labels = np.array([0.9, 0.8, 0.4, 0.2, 0.6]), np.array([1, 1, 1, 0, 0])
    metrics = binary_metrics(scores, labels, 0.5)
    assert metrics["confusion_matrix"] == {"0": {"0": 1, "1": 1}, "1": {"0": 1, "1": 2}}
    assert metrics["recall"]["value"] == metrics["true_positive_rate"]["value"] == pytest.approx(2 / 3)
    assert metrics["false_positive_rate"]["value"] == 0.5
    assert metrics["precision"]["value"] == pytest.approx(2 / 3)
    assert metrics["accuracy"]["value"] == pytest.approx(0.6)
    assert binary_metrics(scores[labels == 1], labels[labels == 1], 2.0)["auc"]["value"] is None


def _scored(seed, *, broken=False):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"label": np.arange(800) % 2, "split": np.repeat(["calibration", "test"], 400)})
    frame["score"] = rng.uniform(0, 0.5, 800) + 0.5 * frame["label"]
    if broken:
        frame.loc[700, "score"] = np.nan
    frame["id"] = frame["uri"] = frame["group"] = [f"s{n}" for n in range(800)]
    return frame.assign(width=10, height=20)


def test_an_evaluation_is_written_as_strict_json(tmp_path):
    evaluation = evaluate(_scored(1), Limits(max_fpr=0.05), {"model": "abc"})
    evaluation.write(tmp_path)
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written["gate"]["passed"] is True
    assert written["gate"]["failed_checks"] == 0
    assert written["gate"]["false_alarms"]["per_negatives"] == 100_000
    assert written["subject"] == {"model": "abc"}
    flagged = pd.read_parquet(tmp_path / "scores.parquet")
    threshold = written["gate"]["operating_point"]["threshold"]
    assert (flagged["flagged"] == (flagged["score"] > threshold)).all()


def test_a_broken_evaluation_is_still_written_and_fails(tmp_path):
    evaluate(_scored(1, broken=True), Limits(max_fpr=0.05), {}).write(tmp_path)
    gate = json.loads((tmp_path / "evaluation.json").read_text())["gate"]
    assert gate["passed"] is False
    assert "not numbers" in gate["message"]
    assert gate["fpr"] is None


def test_hyperparameters_arrive_as_strings():
    parsed = Hyperparameters.parse({"batch-size": "16", "dropout": "0.5", "backbone": "large", "_tuning": "x"})
    assert (parsed.batch_size, parsed.dropout, parsed.backbone) == (16, 0.5, "large")
    assert Hyperparameters.parse({k: str(v) for k, v in parsed.to_dict().items()}) == parsed


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("batch-sice", "3", "unknown hyperparameter"),
        ("batch-size", "3.5", "a whole number"),
        ("batch-size", "0", "from 1 to 4096"),
        ("dropout", "nan", "a number is wanted"),
        ("dropout", "", "a number is wanted"),
        ("fine-tune-learning-rate", "-1", "from 1e-07"),
    ],
)
def test_bad_hyperparameters_are_named(name, value, says):
    with pytest.raises(UserError, match=says):
        Hyperparameters.parse({name: value})
