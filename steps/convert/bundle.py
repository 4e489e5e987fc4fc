"""The device contract beside the model in a bundle, and what the registry keeps of both."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steps.convert.summary import SUMMARY, SUMMARY_FILE
from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file, write_json
from steps.core.tiles.decode import MAX_ASPECT, MAX_PIXELS
from steps.core.tiles.spec import PreprocessingSpec
from steps.core.tiles.tiling import MAX_SIDE
from steps.device.contract import BUNDLE, TILE
from steps.evaluate.evaluation import FILE_NAME as EVALUATION_FILE
from steps.evaluate.evaluation import Evaluation
from steps.network.head import Head

FORMAT = 4
_OF_GOLDEN = ("score_tolerance", "evidence_tolerance", "kernel_spread", "stored_as_jpeg")

_DECODE = (
    "RGB, 8 bits a channel, as the file's numbers say: no scaling, no colour management, no premultiplied alpha; alpha "
    "is dropped as if every pixel were opaque; EXIF orientation is applied"
)
_TILE_PLAN = (
    "tile 0, the overview, is the whole screenshot; then n = ceil(long / short) squares of the short side along the "
    "long one, at floor((long - short) (i - 1) / (n - 1)) for i = 1 to n, at 0 if n = 1; left to right or top to bottom"
)
_RESIZE = (
    "while both sides are at least twice the size S: halve both, (a + b + c + d + 2) >> 2, odd last rows and columns "
    "left out; then while one is: halve it alone, (a + b + 1) >> 1; then, unless both are S, one bilinear step: output "
    "i of S along an axis of L pixels has p = (2 i + 1) L - S, low = floor(p / (2 S)), weight = 128 (p - 2 S low) / S "
    "rounded, halves to even; low < 0: low = weight = 0; low >= L - 1: low = L - 1, weight = 0; value = (256 - weight) "
    "v[low] + weight v[low + 1], first along rows, then along columns, then (value + 32768) >> 16"
)
_HEAD = {
    "features": "f_0 is what the model says of the overview, f_1 to f_n of the squares, f_i[d] its number d",
    "logit": (
        "bias + the sum over d of overview[d] f_0[d] + mean[d] (f_1[d] + ... + f_n[d]) / n + maximum[d] max(f_1[d], "
        "..., f_n[d])"
    ),
    "score": "1 / (1 + exp(-logit))",
    "evidence": (
        "what a tile adds to the logit; of tile 0 the sum over d of overview[d] f_0[d], of tile i that of f_i[d] "
        "(mean[d] / n + maximum[d] / r[d]), the last term only where f_i[d] is the maximum; r[d] squares reach it"
    ),
}
_ARITHMETIC = "32-bit floats, as the gate had: no FORCE_FP16 of XNNPACK, no precision loss of a GPU delegate"


def device_contract(
    evaluation: Evaluation,
    spec: PreprocessingSpec,
    head: Head,
    subject: Mapping[str, Any],
    *,
    demands: Mapping[str, Any],
    golden: Mapping[str, Any] | None = None,
    classes: tuple[str, str] = ("negative", "positive"),
    run: str | None = None,
) -> dict[str, Any]:
    """Return `model.json`: everything that a phone needs to decide as the gate did.

    `subject` holds the file's sha256 as `model`, its `bytes`, `quantization` and `flipped_decisions`; `demands` is what
    `steps.device.flatbuffer` says of it, `golden` what `golden/golden.json` holds, `classes` the names of the negative
    and the positive class, `run` the execution, None outside of one. The version that the registry gives is not known
    yet: it belongs to the same sha256. Raises UserError if the model did not pass the gate.
    """
    point = evaluation.verdict.point
    if point is None or not evaluation.verdict.passed:
        raise UserError("a model that did not pass the gate has no device contract")
    weights = {name: row for name, row in head.to_dict().items() if name != "version"}
    return {
        "format": FORMAT,
        "run": run,
        "trained_model": evaluation.subject.get("trained_model"),
        "sha256": subject["model"],
        "bytes": subject["bytes"],
        "quantization": subject["quantization"],
        "flipped_decisions": subject["flipped_decisions"],
        "classes": dict(zip(("negative", "positive"), classes, strict=True)),
        "decision": "positive if score > threshold",
        "threshold": point.threshold,
        "decode": _DECODE,
        "limits": {"max_side": MAX_SIDE, "max_pixels": MAX_PIXELS, "max_aspect": MAX_ASPECT},
        "preprocessing": spec.to_dict(),
        "tile_plan": _TILE_PLAN,
        "resize": _RESIZE,
        "signatures": _signatures(spec.tile_size, head.width),
        "head": {**_HEAD, **weights},
        "runtime": {**demands, "arithmetic": _ARITHMETIC},
        "golden": {name: golden[name] for name in _OF_GOLDEN} if golden else None,
    }


def _signatures(size: int, width: int) -> dict[str, Any]:
    pixels = {"shape": [1, size, size, 3], "dtype": "uint8", "meaning": "a tile, cut and resized: RGB, row by row"}
    features = {"shape": [1, width], "dtype": "float32", "meaning": "what the model says of the tile, unbounded"}
    return {TILE: {"inputs": {"pixels": pixels}, "outputs": {"features": features}}}


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
