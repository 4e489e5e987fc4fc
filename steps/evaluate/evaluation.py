"""An evaluation's measurements: SageMaker Model Monitor's field names, and the gate's verdict beside them.

Field names: https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-metrics.html (binary).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from steps.core.common.errors import UserError
from steps.core.common.files import replacing, write_json
from steps.core.dataset.splits import Split
from steps.core.dataset.tables import SLICE_PREFIX
from steps.core.gate.champion import Champion
from steps.core.gate.gate import run_gate
from steps.core.gate.held_out import HeldOut, Labels
from steps.core.gate.limits import Fleet, Limits
from steps.core.gate.roc import PARTIAL_AUC_BELOW, Scores, partial_auc, roc, tpr_at_fpr
from steps.core.gate.test_set_ledger import Consultation
from steps.core.gate.verdict import Verdict

FILE_NAME = "evaluation.json"
SCORES = "scores.parquet"
HELD_OUT = (Split.CALIBRATION, Split.TEST)
_RANKING_FPRS = (0.01, 0.05, 0.1)
_SHORT_SIDES = (720, 1080, 1440)
_KEPT = ["id", "uri", "label", "group", "split", "width", "height", "score"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A verdict, the metrics behind it, and the scored screenshots of the held-out splits.

    baseline: how many positives of the test split it finds with at most the model's false alarms, see `beside`.
    """

    verdict: Verdict
    metrics: Mapping[str, Any]
    scored: pd.DataFrame
    subject: Mapping[str, Any]
    ranking: Mapping[str, Any] = field(default_factory=dict)
    baseline: Mapping[str, int] | None = None

    def write(self, folder: Path) -> None:
        """Write `evaluation.json` and `scores.parquet`."""
        with replacing(folder / SCORES) as beside:
            self.scored.to_parquet(beside, index=False)
        self.write_verdict(folder)

    def write_verdict(self, folder: Path) -> None:
        """Write `evaluation.json`, strict JSON."""
        document = {
            "version": 1,
            "subject": dict(self.subject),
            "binary_classification_metrics": dict(self.metrics),
            "ranking": dict(self.ranking),
            "baseline": self.baseline,
            "gate": self.verdict.to_dict(),
        }
        write_json(folder / FILE_NAME, document)


def evaluate(
    scored: pd.DataFrame,
    limits: Limits,
    subject: Mapping[str, Any],
    *,
    champion: Champion | UserError | None = None,
    ledger: Sequence[Consultation] | UserError = (),
    baseline: Mapping[str, float] | None = None,
    fleet: Fleet | None = None,
    model: str = "",
) -> Evaluation:
    """Run the gate on screenshots scored by a model; `subject` says which model on which data, and is written as it is.

    `scored` has a row a screenshot: id, uri, label, group, split, width, height, score, and `slice:` columns. `model`
    is the sha256 of the model's file: with it, a look that the ledger already holds is not counted twice.
    """
    calibration, test = (held_out(scored[scored["split"] == str(split)]) for split in HELD_OUT)
    look = consultation(scored, limits, model).name if model else ""
    verdict = run_gate(
        calibration, test, limits, champion=champion, ledger=ledger, baseline=baseline, fleet=fleet, look=look
    )
    threshold = verdict.point.threshold if verdict.point else float("nan")
    columns = _KEPT + [name for name in scored.columns if name.startswith(SLICE_PREFIX)]
    flagged = scored[columns].assign(flagged=scored["score"] > threshold)
    metrics = binary_metrics(test.scores, test.labels, threshold)
    beaten = beside(test, verdict.fpr.count, baseline) if baseline is not None and verdict.fpr else None
    return Evaluation(verdict, metrics, flagged, subject, ranking(test.scores, test.labels), beaten)


def beside(test: HeldOut, false_alarms: int, baseline: Mapping[str, float]) -> dict[str, int]:
    """Return the baseline's false alarms, at most `false_alarms`, and what it finds at that threshold of its own.

    The threshold is chosen on the test split itself, in the baseline's favour: a comparison for people, and no proof.
    """
    scores = np.array([baseline[name] for name in test.named()], np.float64)
    negatives = np.sort(scores[test.labels == 0])[::-1]
    threshold = negatives[false_alarms] if false_alarms < len(negatives) else -np.inf
    flagged = scores > threshold
    return {
        "false_alarms": int((flagged & (test.labels == 0)).sum()),
        "found": int((flagged & (test.labels == 1)).sum()),
    }


def held_out(frame: pd.DataFrame) -> HeldOut:
    """Return the screenshots of one split as the gate takes them, slices of size and of the given columns included."""
    width, height = frame["width"].to_numpy(np.int64), frame["height"].to_numpy(np.int64)
    short, long = np.minimum(width, height), np.maximum(width, height)
    names = [f"under {_SHORT_SIDES[0]}", *(f"{side} and more" for side in _SHORT_SIDES)]
    slices: dict[str, Sequence[Any]] = {
        "orientation": np.where(width > height, "landscape", "portrait").tolist(),
        "short side": np.array(names)[np.searchsorted(_SHORT_SIDES, short, side="right")].tolist(),
        "squares": (-(-long // np.maximum(short, 1))).astype(str).tolist(),
    }
    for name in frame.columns:
        if name.startswith(SLICE_PREFIX):
            slices[name.removeprefix(SLICE_PREFIX)] = frame[name].tolist()
    return HeldOut(
        scores=frame["score"].to_numpy(np.float64),
        labels=frame["label"].to_numpy(np.int64),
        ids=frame["id"].tolist(),
        groups=frame["group"].tolist(),
        slices=slices,
    )


def consultation(
    scored: pd.DataFrame, limits: Limits, model: str, *, passed: bool = False, moment: str = ""
) -> Consultation:
    """Return the ledger's entry of this look; whether the model, a file's sha256, passed, and when, names none."""
    test = scored[scored["split"] == str(Split.TEST)]
    return Consultation.of(
        test["id"].astype(str),
        negatives=int((test["label"] == 0).sum()),
        groups=int(test["group"].nunique()),
        model=model,
        limits=limits.to_dict(),
        passed=passed,
        moment=moment,
    )


def ranking(scores: Scores, labels: Labels) -> dict[str, Any]:
    """Return how well scores rank, whatever the threshold; what cannot be computed is null.

    The partial AUC is the mean TPR below an FPR of 10 %: 1 is perfect, 0.05 is chance.
    """
    values = {f"{fpr:g}": tpr_at_fpr(scores, labels, fpr) for fpr in _RANKING_FPRS}
    partial = partial_auc(scores, labels, PARTIAL_AUC_BELOW)
    return {
        "tpr_at_fpr": {name: _known(value) for name, value in values.items()},
        "partial_auc": {"max_fpr": PARTIAL_AUC_BELOW, "value": _known(partial)},
    }


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def binary_metrics(scores: Scores, labels: Labels, threshold: float) -> dict[str, Any]:
    """Return Model Monitor's binary metrics at a threshold; what cannot be computed is null."""
    flagged = scores > threshold
    counts = {(a, p): int(((labels == a) & (flagged == bool(p))).sum()) for a in (0, 1) for p in (0, 1)}
    (tn, fp), (fn, tp) = ((counts[a, 0], counts[a, 1]) for a in (0, 1))
    shares = {
        "accuracy": (tp + tn, len(labels)),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "true_positive_rate": (tp, tp + fn),
        "false_positive_rate": (fp, fp + tn),
        "true_negative_rate": (tn, fp + tn),
        "false_negative_rate": (fn, tp + fn),
    }
    metrics: dict[str, Any] = {
        "confusion_matrix": {str(a): {str(p): counts[a, p] for p in (0, 1)} for a in (0, 1)},
        **{name: {"value": part / whole if whole else None} for name, (part, whole) in shares.items()},
        "auc": {"value": None},
    }
    if tn + fp and tp + fn and np.isfinite(scores).all():
        false, true = roc(scores, labels)
        metrics["auc"] = {"value": float(np.trapezoid(true, false))}
        metrics["receiver_operating_characteristic_curve"] = {
            "false_positive_rates": false.tolist(),
            "true_positive_rates": true.tolist(),
        }
    return metrics
