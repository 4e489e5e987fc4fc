"""The gate on each variant's own bytes, what they measure, and how far they decide like the trained model."""

import statistics
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from steps.convert.build import Ingredients, make_all
from steps.convert.variants import Variant
from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.core.common.program import granted_cpus
from steps.core.gate.limits import Limits
from steps.device.flatbuffer import demands
from steps.device.runtime import LiteModel
from steps.evaluate.evaluation import SCORES, Evaluation
from steps.evaluate.step import Candidate, score_and_gate

# Of a usual phone's screenshot: three squares and the overview.
_TILES = 4
_REPEATS = 15


@dataclass(frozen=True, slots=True)
class Gated:
    """A row of the table; its file and its evaluation, if it came that far."""

    variant: Variant
    path: Path
    evaluation: Evaluation | None = None


def gate_all(
    names: Sequence[str],
    ingredients: Ingredients,
    candidate: Candidate,
    limits: Limits,
    keras_decisions: pd.DataFrame,
    *,
    folder: Path,
) -> list[Gated]:
    """Convert and measure the variants and run the gate on each, in the order of `names`.

    Trouble of one is its row's reason. `keras_decisions` are the trained model's: id, flagged.
    """
    cpus = granted_cpus()
    print(f"Converting {len(names)} variants, {min(cpus, len(names))} at a time", flush=True)
    found = []
    for number, (name, path, reason) in enumerate(make_all(names, ingredients, folder, cpus), 1):
        one = Gated(Variant(name=name, reason=reason), path)
        if not reason:
            one = _gated(one, candidate, limits, keras_decisions)
        outcome = one.variant.reason or ("passed" if one.variant.passed else "rejected")
        print(f"Variant {number}/{len(names)} {name}: {outcome}", flush=True)
        found.append(one)
    times = latencies({one.variant.name: one.path for one in found if not one.variant.reason})
    return [replace(one, variant=replace(one.variant, latency_ms=times.get(one.variant.name))) for one in found]


def _gated(one: Gated, candidate: Candidate, limits: Limits, keras_decisions: pd.DataFrame) -> Gated:
    path = one.path
    try:
        model = LiteModel(path, granted_cpus())
        measured = replace(
            one.variant,
            sha256=sha256_file(path),
            bytes=path.stat().st_size,
            deflated=deflated_size(path),
            min_runtime_version=demands(path)["min_runtime_version"],
        )
        subject = {"model": measured.sha256, "quantization": measured.name, "bytes": measured.bytes}
        evaluation = score_and_gate(model.describe, candidate, limits, {**subject, **candidate.subject})
    except UserError as error:
        return replace(one, variant=replace(one.variant, reason=str(error)))
    verdict = evaluation.verdict
    row = replace(
        measured,
        passed=verdict.passed,
        message=verdict.message,
        threshold=verdict.point.threshold if verdict.point else None,
        fpr=verdict.fpr.value if verdict.fpr else None,
        fpr_upper=verdict.fpr.upper if verdict.fpr else None,
        tpr=verdict.tpr.value if verdict.tpr else None,
        tpr_lower=verdict.tpr.lower if verdict.tpr else None,
        flipped=flipped(evaluation.scored, keras_decisions),
    )
    return Gated(row, path, evaluation)


def read_decisions(folder: Path) -> pd.DataFrame:
    """Read what EvaluateModel decided with the trained model, a row a held-out screenshot: id, flagged."""
    try:
        return pd.read_parquet(folder / SCORES, columns=["id", "flagged"])
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / SCORES} cannot be read ({error}): evaluate the trained model first") from None


def flipped(scored: pd.DataFrame, theirs: pd.DataFrame) -> float:
    """Return the share of screenshots on which the two models decide differently, each at its own threshold.

    Both have the columns id and flagged. Raises UserError unless both are of the same screenshots.
    """
    both = scored[["id", "flagged"]].merge(theirs, on="id", suffixes=("", "_theirs"), validate="one_to_one")
    if not len(both) == len(scored) == len(theirs):
        raise UserError("the trained model was evaluated on other screenshots: run EvaluateModel on this dataset")
    return float((both["flagged"] != both["flagged_theirs"]).mean())


def deflated_size(path: Path) -> int:
    """Return how many bytes an APK, a zip archive, needs for the file."""
    return len(zlib.compress(path.read_bytes(), 9))


def latencies(paths: Mapping[str, Path], repeats: int = _REPEATS) -> dict[str, float]:
    """Return the median milliseconds that each file needs for the tiles of a phone's screenshot, on one core.

    By one thread, in turns: whatever else the machine does hits all of them alike.
    """
    models = {name: LiteModel(path, 1) for name, path in paths.items()}
    rng = np.random.default_rng(0)
    tiles = {
        name: rng.integers(0, 256, (_TILES, model.tile_size, model.tile_size, 3), dtype=np.uint8)
        for name, model in models.items()
    }
    times: dict[str, list[float]] = {name: [] for name in paths}
    for repeat in range(repeats + 1):
        for name, model in models.items():
            started = time.perf_counter()
            for tile in tiles[name]:
                model.tile(tile)
            # The first time fills the caches.
            if repeat:
                times[name].append(time.perf_counter() - started)
    return {name: 1000 * statistics.median(seconds) for name, seconds in times.items()}
