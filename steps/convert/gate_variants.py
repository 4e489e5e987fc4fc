"""Each variant held against the gate and against the trained model, by what its own bytes say of every screenshot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from steps.convert.build import Ingredients, make_all
from steps.convert.measure import deflated_size, latencies, operators
from steps.convert.variants import Variant
from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.device.operators import demands
from steps.device.runtime import LiteModel
from steps.evaluate.evaluation import SCORES, Evaluation

Judge = Callable[[LiteModel, Variant], Evaluation]


@dataclass(frozen=True, slots=True)
class Judged:
    """A row of the table; its file and its evaluation, if it came that far."""

    variant: Variant
    path: Path
    evaluation: Evaluation | None = None


def judge_all(
    names: Sequence[str],
    ingredients: Ingredients,
    judge: Judge,
    keras_decisions: pd.DataFrame,
    *,
    folder: Path,
    cpus: int,
) -> list[Judged]:
    """Make, measure and judge the variants, in the order of `names`; trouble of one is its row's reason.

    `judge(model, variant)` scores every held-out screenshot with the file. `keras_decisions` are the trained model's:
    id, flagged.
    """
    print(f"Converting {len(names)} variants, {min(cpus, len(names))} at a time", flush=True)
    found = []
    for number, (name, path, reason) in enumerate(make_all(names, ingredients, folder, cpus), 1):
        one = Judged(Variant(name=name, reason=reason), path)
        if not reason:
            one = _judged(one, judge, keras_decisions, cpus)
        print(f"Variant {number}/{len(names)} {name}: {_said(one.variant)}", flush=True)
        found.append(one)
    times = latencies({one.variant.name: one.path for one in found if not one.variant.reason})
    return [replace(one, variant=replace(one.variant, latency_ms=times.get(one.variant.name))) for one in found]


def _judged(one: Judged, judge: Judge, keras_decisions: pd.DataFrame, cpus: int) -> Judged:
    path = one.path
    try:
        model = LiteModel(path, cpus)
        measured = replace(
            one.variant,
            sha256=sha256_file(path),
            bytes=path.stat().st_size,
            deflated=deflated_size(path),
            operators=operators(path),
            min_runtime_version=demands(path).min_runtime_version,
        )
        evaluation = judge(model, measured)
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
    return Judged(row, path, evaluation)


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


def _said(variant: Variant) -> str:
    if variant.reason:
        return variant.reason
    return f"{variant.bytes:,} bytes, {'passed' if variant.passed else 'rejected'}, {variant.flipped:.2%} flipped"
