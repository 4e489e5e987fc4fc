"""What an evaluation measured: SageMaker Model Monitor's field names, and the gate's verdict beside them.

Field names: https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-metrics.html (binary).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from steps.core.files import replacing, write_json
from steps.core.gate import Labels, Limits, Verdict, judge
from steps.core.scores import Scores, roc
from steps.core.splits import Split

FILE_NAME = "evaluation.json"
SCORES = "scores.parquet"
HELD_OUT = (Split.CALIBRATION, Split.TEST)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A verdict, the metrics behind it, and the scored screenshots of the held-out splits."""

    verdict: Verdict
    metrics: Mapping[str, Any]
    scored: pd.DataFrame
    subject: Mapping[str, Any]

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
            "gate": self.verdict.to_dict(),
        }
        write_json(folder / FILE_NAME, document)


def evaluate(scored: pd.DataFrame, limits: Limits, subject: Mapping[str, Any]) -> Evaluation:
    """Judge screenshots scored by a model; `subject` says which model on which data, and is written as it is."""
    by_split = {split: scored[scored["split"] == str(split)] for split in HELD_OUT}
    calibration, test = (_arrays(by_split[split]) for split in HELD_OUT)
    verdict = judge(calibration, test, limits)
    threshold = verdict.point.threshold if verdict.point else float("nan")
    columns = ["id", "uri", "label", "group", "split", "width", "height", "score"]
    columns += [name for name in scored.columns if name.startswith("slice:")]
    flagged = scored[columns].assign(flagged=scored["score"] > threshold)
    return Evaluation(verdict, binary_metrics(*test, threshold), flagged, subject)


def _arrays(frame: pd.DataFrame) -> tuple[Scores, Labels]:
    return frame["score"].to_numpy(np.float64), frame["label"].to_numpy(np.int64)


def binary_metrics(scores: Scores, labels: Labels, threshold: float) -> dict[str, Any]:
    """Return Model Monitor's binary metrics at a threshold; what cannot be computed is null."""
    flagged = scores > threshold
    counts = {(a, p): int(((labels == a) & (flagged == bool(p))).sum()) for a in (0, 1) for p in (0, 1)}
    (tn, fp), (fn, tp) = ((counts[a, 0], counts[a, 1]) for a in (0, 1))
    metrics: dict[str, Any] = {
        "confusion_matrix": {str(a): {str(p): counts[a, p] for p in (0, 1)} for a in (0, 1)},
        "accuracy": _value(tp + tn, len(labels)),
        "precision": _value(tp, tp + fp),
        "recall": _value(tp, tp + fn),
        "true_positive_rate": _value(tp, tp + fn),
        "false_positive_rate": _value(fp, fp + tn),
        "true_negative_rate": _value(tn, fp + tn),
        "false_negative_rate": _value(fn, tp + fn),
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


def _value(part: int, whole: int) -> dict[str, float | None]:
    return {"value": part / whole if whole else None}
