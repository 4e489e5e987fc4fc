"""Ranking figures, and an evaluation that keeps Model Monitor's names."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.gate.limits import Limits
from steps.core.gate.roc import partial_auc, roc, tpr_at_fpr
from steps.evaluate.evaluation import binary_metrics, consultation, evaluate

LIMITS = Limits(max_fpr=0.05)


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


def test_the_partial_auc_is_the_mean_tpr_below_the_rate():
    labels = np.repeat([0, 1], [100, 10])
    perfect = np.concatenate([np.linspace(0, 0.5, 100), np.linspace(0.6, 1, 10)])
    assert partial_auc(perfect, labels, 0.1) == pytest.approx(1)
    assert partial_auc(np.zeros(110), labels, 0.1) == pytest.approx(0.05)
    # Five negatives above all positives: nothing is found below an FPR of 5 %, everything from there on.
    late = np.concatenate([np.linspace(0, 0.5, 95), np.full(5, 2.0), np.linspace(0.6, 1, 10)])
    assert partial_auc(late, labels, 0.1) == pytest.approx(0.5)
    assert np.isnan(partial_auc(perfect[:100], labels[:100], 0.1))


def test_an_evaluation_ranks_and_slices_by_size():
    evaluation = evaluate(
        _scored(1).assign(
            **{"slice:theme": ["dark", "dark", "dark", "dark", "light", "light", "light", "light"] * 100}
        ),
        LIMITS,
        {},
    )
    assert evaluation.ranking["partial_auc"]["value"] > 0.9
    assert set(evaluation.ranking["tpr_at_fpr"]) == {"0.01", "0.05", "0.1"}
    assert {(part.column, part.value) for part in evaluation.verdict.slices} == {("theme", "dark"), ("theme", "light")}
    wide = _scored(1).assign(width=[10, 10, 10, 10, 30, 30, 30, 30] * 100)
    columns = {part.column for part in evaluate(wide, LIMITS, {}).verdict.slices}
    assert columns == {"orientation"}


def test_a_look_that_the_ledger_holds_is_not_counted_twice():
    first = evaluate(_scored(1), LIMITS, {}, model="a" * 64)
    look = {"passed": first.verdict.passed, "moment": "2026-01-01T00:00:00Z"}
    entry = consultation(first.scored, LIMITS, "a" * 64, **look)
    assert (entry.screenshots, entry.negatives, entry.passed) == (400, 200, True)
    assert evaluate(_scored(1), LIMITS, {}, model="a" * 64, ledger=[entry]).verdict.wear.looks == 1
    assert evaluate(_scored(1), LIMITS, {}, model="b" * 64, ledger=[entry]).verdict.wear.looks == 2
