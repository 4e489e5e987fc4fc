"""What goes to the phone beside the model: the device contract, and a card for people."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steps.core.errors import UserError
from steps.core.evaluation import Evaluation
from steps.core.files import write_json
from steps.core.scores import REDUCER
from steps.core.spec import PreprocessingSpec

SUMMARY_FILE = "summary.json"


def device_contract(evaluation: Evaluation, spec: PreprocessingSpec, subject: Mapping[str, Any]) -> dict[str, Any]:
    """Return `model.json`: everything that a phone needs to decide as the gate did."""
    point = evaluation.verdict.point
    if point is None or not evaluation.verdict.passed:
        raise UserError("a model that did not pass the gate has no device contract")
    size = spec.tile_size
    return {
        "version": 1,
        "sha256": subject["model"],
        "bytes": subject["bytes"],
        "quantization": subject["quantization"],
        "input": {"shape": [1, size, size, 3], "dtype": "float32", "range": [0, 255], "colour": "RGB"},
        "output": {"shape": [1, 1], "dtype": "float32", "range": [0, 1], "meaning": "score of one tile"},
        "preprocessing": spec.to_dict(),
        "screenshot_score": f"{REDUCER} over the tiles",
        "decision": "score > threshold",
        "threshold": point.threshold,
        "flipped_decisions": subject["flipped_decisions"],
    }


def write_summary(folder: Path, contract: Mapping[str, Any], evaluation: Evaluation) -> None:
    """Write the few strings that the registry keeps beside a version; SageMaker takes nothing but strings there."""
    verdict = evaluation.verdict
    if verdict.fpr is None or verdict.tpr is None:
        raise UserError("a model that was not measured has no summary")
    values = {
        "tflite_sha256": contract["sha256"],
        "tflite_bytes": contract["bytes"],
        "threshold": contract["threshold"],
        "fpr": verdict.fpr.value,
        "fpr_upper": verdict.fpr.upper,
        "max_fpr": verdict.limits.max_fpr,
        "tpr": verdict.tpr.value,
        "tpr_lower": verdict.tpr.lower,
    }
    write_json(folder / SUMMARY_FILE, {name: str(value) for name, value in values.items()})


def model_card(evaluation: Evaluation, contract: Mapping[str, Any]) -> str:
    """Return `MODEL_CARD.md`."""
    verdict = evaluation.verdict
    size = contract["input"]["shape"][1]
    return f"""# Screenshot classifier, {contract["quantization"]} TFLite

- **Verdict**: {"passed" if verdict.passed else "rejected"}. {verdict.message}
- **Decision**: positive if the screenshot's score is above {contract["threshold"]:.6f}; its score is the
  {contract["screenshot_score"]}.
- **Input**: tiles of {size} x {size} pixels, cut and resized as `preprocessing.json` says.
- **File**: `model.tflite`, {contract["bytes"]:,} bytes, sha256 `{contract["sha256"]}`.
- **Decisions that differ from the trained model's**: {contract["flipped_decisions"]:.2%} of the held-out screenshots.

The bounds hold for screenshots like those of the test split, counted as independent. They say nothing of apps, devices
or languages that the labelled data lack.
"""
