"""The device contract beside the model in a bundle, and what the registry keeps of both."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steps.convert.summary import SUMMARY, SUMMARY_FILE
from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file, write_json
from steps.core.tiles.decode import MAX_ASPECT, MAX_PIXELS
from steps.core.tiles.spec import PreprocessingSpec
from steps.core.tiles.tiling import MAX_SIDE
from steps.device.contract import BUNDLE
from steps.evaluate.evaluation import FILE_NAME as EVALUATION_FILE
from steps.evaluate.evaluation import Evaluation
from steps.network.head import Head

CONTRACT_VERSION = 3
_OF_GOLDEN = ("score_tolerance", "evidence_tolerance", "kernel_spread", "stored_as_jpeg")

_TILE_PLAN = (
    "tile 0 is the whole screenshot; then n = ceil(long / short) squares of the short side along the long one, at "
    "floor((long - short) i / (n - 1)) for i = 0 to n - 1, at 0 if n = 1; left to right or top to bottom"
)
_RESIZE = (
    "while both sides are at least twice the size: halve both, (a + b + c + d + 2) >> 2, odd last rows and columns "
    "left out; then while one is: halve it alone, (a + b + 1) >> 1; then one bilinear step with half-pixel centres, "
    "weights in 1/256 rounded half to even, (sum + 32768) >> 16"
)
_RUNTIME_NOTES = (
    (
        "Do not let the runtime compute in 16-bit floats (XNNPACK's FORCE_FP16, a GPU delegate's precision loss): the "
        "resizing inside the graph needs whole numbers up to 2^24."
    ),
    "The signature screenshot takes about 40 bytes of memory for each pixel of the screenshot while it runs.",
    "Decode the screenshot without scaling, colour management and premultiplied alpha; golden/ tells whether it is so.",
)


def device_contract(
    evaluation: Evaluation,
    spec: PreprocessingSpec,
    head: Head,
    subject: Mapping[str, Any],
    *,
    demands: Mapping[str, Any],
    golden: Mapping[str, Any] | None = None,
    variants: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return `model.json`: everything that a phone needs to decide as the gate did.

    `subject` holds the file's sha256 as `model`, its `bytes`, `quantization` and `flipped_decisions`; `demands` is what
    `steps.device.operators` says of it, `golden` what `golden/golden.json` holds, `variants` are the forms of the model
    that were judged beside it. Raises UserError if the model did not pass the gate.
    """
    point = evaluation.verdict.point
    if point is None or not evaluation.verdict.passed:
        raise UserError("a model that did not pass the gate has no device contract")
    return {
        "version": CONTRACT_VERSION,
        "sha256": subject["model"],
        "bytes": subject["bytes"],
        "quantization": subject["quantization"],
        "signatures": _signatures(spec.tile_size, head.width),
        "limits": {"max_side": MAX_SIDE, "max_pixels": MAX_PIXELS, "max_aspect": MAX_ASPECT},
        "preprocessing": spec.to_dict(),
        "tile_plan": _TILE_PLAN,
        "resize": _RESIZE,
        "head": {"features": head.width, "bias": head.bias},
        "decision": "score > threshold",
        "threshold": point.threshold,
        "flipped_decisions": subject["flipped_decisions"],
        "runtime": {**demands, "notes": list(_RUNTIME_NOTES)},
        "golden": {name: golden[name] for name in _OF_GOLDEN} if golden else None,
        "variants": [dict(variant) for variant in variants],
    }


def _signatures(size: int, width: int) -> dict[str, Any]:
    pixels = {"dtype": "uint8", "range": [0, 255], "colour": "RGB"}
    evidence = {
        "dtype": "float32",
        "meaning": "what each tile adds to the logit, overview first; with head.bias its sum",
    }
    features = {"dtype": "float32", "meaning": "what the backbone says of the tile, unbounded"}
    score = {"shape": [1], "dtype": "float32", "range": [0, 1], "meaning": "score of the screenshot"}
    return {
        "screenshot": {
            "inputs": {"pixels": {"shape": [1, None, None, 3], **pixels, "meaning": "decoded screenshot, any size"}},
            "outputs": {"score": score, "evidence": {"shape": [None], **evidence}},
        },
        "tile": {
            "inputs": {"pixels": {"shape": [1, size, size, 3], **pixels, "meaning": "tile, cut and resized"}},
            "outputs": {"features": {"shape": [1, width], **features}},
        },
    }


def write_summary(folder: Path, contract: Mapping[str, Any], evaluation: Evaluation, archive: Path) -> None:
    """Write the few strings that the registry keeps beside a version; SageMaker takes nothing but strings there.

    `archive` is what is registered, `model.tar.gz`; the bundle that is in it lies beside it, with `evaluation.json`.
    """
    verdict = evaluation.verdict
    if verdict.fpr is None or verdict.tpr is None:
        raise UserError("a model that was not measured has no summary")
    values = {
        "archive_sha256": sha256_file(archive),
        # As a ContentDigest of SageMaker is written.
        "evaluation_digest": "sha256:" + sha256_file(archive.parent / BUNDLE / EVALUATION_FILE),
        "tflite_sha256": contract["sha256"],
        "tflite_bytes": contract["bytes"],
        "variant": contract["quantization"],
        "flipped_decisions": contract["flipped_decisions"],
        "threshold": contract["threshold"],
        "failed_checks": len(verdict.reasons),
        "fpr": verdict.fpr.value,
        "fpr_upper": verdict.fpr.upper,
        "max_fpr": verdict.limits.max_fpr,
        "tpr": verdict.tpr.value,
        "tpr_lower": verdict.tpr.lower,
        "min_tpr": verdict.limits.min_tpr,
        "test_negatives": verdict.fpr.trials,
        "test_positives": verdict.tpr.trials,
    }
    write_json(folder / SUMMARY_FILE, {name: str(values[name]) for name in SUMMARY})
