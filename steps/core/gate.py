"""The gate: may this model flag screenshots? Everything is counted per screenshot, and what is not known fails.

1. The threshold comes from the calibration split's negatives alone, by an order statistic with a guarantee.
2. The disjoint test split then has to prove it: the upper confidence bound of the FPR within its limit, the lower
   bound of the TPR above its floor.

Every screenshot counts as one independent trial.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from steps.core.errors import UserError
from steps.core.scores import Scores
from steps.core.statistics import (
    clopper_pearson,
    errors_allowed,
    pass_probability,
    trials_needed,
    violation_probability,
)

PER_NEGATIVES = 100_000
_POWER_WANTED = 0.8

Labels = npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model has to prove: rates between 0 and 1, and the one-sided confidence of every bound."""

    max_fpr: float = 0.01
    min_tpr: float = 0.3
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.max_fpr < 1:
            raise UserError(f"max-fpr {self.max_fpr}: a rate between 0 and 1 is wanted, such as 0.01 for 1 %")
        # A floor of 0 would pass a model that never flags anything.
        if not 0 < self.min_tpr < 1:
            raise UserError(f"min-tpr {self.min_tpr}: a rate between 0 and 1 is wanted, such as 0.3 for 30 %")
        half = 0.5
        if not half < self.confidence < 1:
            raise UserError(f"confidence {self.confidence}: a number between 0.5 and 1 is wanted, such as 0.95")


@dataclass(frozen=True, slots=True)
class Rate:
    """A measured rate, and its one-sided bounds."""

    count: int
    trials: int
    value: float
    lower: float
    upper: float

    @classmethod
    def of(cls, count: int, trials: int, confidence: float) -> "Rate":
        return cls(
            count, trials, count / trials if trials else float("nan"), *clopper_pearson(count, trials, confidence)
        )


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A frozen threshold: `score > threshold` is positive.

    `allowed` negatives of `calibration` lie above it (fewer where scores tie). `violation` is the chance that the
    true FPR is above the limit, `power` the chance that the test split's check passes, both known before any test
    score is seen. `missing` calibration negatives are needed before any threshold has the guarantee.
    """

    threshold: float
    allowed: int
    calibration: int
    violation: float
    power: float
    missing: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says: `reasons` holds a sentence for each failed check, and none if it passed."""

    limits: Limits
    point: OperatingPoint | None
    fpr: Rate | None
    tpr: Rate | None
    negatives_missing: int
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.reasons and self.fpr is not None and self.tpr is not None

    @property
    def message(self) -> str:
        """One sentence for a person: what was measured, its bound and the limit, then each reason."""
        limit = f"the limit is {_percent(self.limits.max_fpr)}"
        if self.fpr is None:
            measured = f"False-positive rate not measured; {limit}."
        else:
            measured = (
                f"False-positive rate {_percent(self.fpr.value)} ({self.fpr.count} of {self.fpr.trials} "
                f"test negatives), {_percent(self.limits.confidence)} upper bound {_percent(self.fpr.upper)}; {limit}."
            )
        return " ".join([measured, *self.reasons])

    def to_dict(self) -> dict[str, Any]:
        """Return strict JSON: what is not known is null, never NaN."""
        return {
            "passed": self.passed,
            "failed_checks": len(self.reasons),
            "message": self.message,
            "reasons": list(self.reasons),
            "max_fpr": self.limits.max_fpr,
            "min_tpr": self.limits.min_tpr,
            "confidence": self.limits.confidence,
            "operating_point": asdict(self.point) if self.point else None,
            "fpr": asdict(self.fpr) if self.fpr else None,
            "tpr": asdict(self.tpr) if self.tpr else None,
            "negatives_missing": self.negatives_missing,
            "false_alarms": self._false_alarms(),
        }

    def _false_alarms(self) -> dict[str, float] | None:
        if self.fpr is None:
            return None
        names = {"value": self.fpr.value, "lower": self.fpr.lower, "upper": self.fpr.upper}
        return {"per_negatives": PER_NEGATIVES} | {name: rate * PER_NEGATIVES for name, rate in names.items()}


def _percent(rate: float) -> str:
    return f"{100 * rate:.3g} %"


def choose_threshold(negatives: Scores, limits: Limits, test_negatives: int) -> OperatingPoint:
    """Choose the threshold from the scores of the calibration split's negatives, [n] without NaN, n >= 1.

    A threshold at the limit itself would break it half the time. Of the order statistics whose true FPR is within
    the limit with the wanted confidence, the most permissive is taken with which the check on `test_negatives` fresh
    negatives still passes with 80 % probability; if there is none, the strictest.
    """
    count = len(negatives)
    provable = errors_allowed(test_negatives, limits.max_fpr, limits.confidence)
    allowed = 0
    while (
        allowed + 1 < count
        and violation_probability(allowed + 1, count, limits.max_fpr) <= 1 - limits.confidence
        and pass_probability(allowed + 1, count, test_negatives, provable) >= _POWER_WANTED
    ):
        allowed += 1
    return OperatingPoint(
        threshold=float(np.sort(negatives)[::-1][allowed]),
        allowed=allowed,
        calibration=count,
        violation=violation_probability(allowed, count, limits.max_fpr),
        power=pass_probability(allowed, count, test_negatives, provable),
        missing=max(trials_needed(0, limits.max_fpr, limits.confidence) - count, 0),
    )


def judge(calibration: tuple[Scores, Labels], test: tuple[Scores, Labels], limits: Limits) -> Verdict:
    """Judge a model by its screenshot scores, 0 to 1, and labels, 0 or 1, on both held-out splits."""
    if unusable := [*_unusable("calibration", *calibration), *_unusable("test", *test)]:
        return Verdict(limits, None, None, None, 0, tuple(unusable))
    scores, labels = test
    negatives, positives = scores[labels == 0], scores[labels == 1]
    point = choose_threshold(calibration[0][calibration[1] == 0], limits, len(negatives))
    fpr = Rate.of(int((negatives > point.threshold).sum()), len(negatives), limits.confidence)
    tpr = Rate.of(int((positives > point.threshold).sum()), len(positives), limits.confidence)
    missing = max(trials_needed(fpr.count, limits.max_fpr, limits.confidence) - fpr.trials, 0)
    return Verdict(limits, point, fpr, tpr, missing, tuple(_failures(point, fpr, tpr, missing, limits)))


def _unusable(name: str, scores: Scores, labels: Labels) -> list[str]:
    """Say everything that forbids judging at all: a gate that does not know must not pass."""
    if len(scores) != len(labels) or not np.isin(labels, (0, 1)).all():
        return [f"The {name} split has {len(scores)} scores and labels other than one 0 or 1 for each."]
    faults = [
        f"The {name} split holds no {kind}: add labelled data." for value, kind in _KINDS if not (labels == value).any()
    ]
    if broken := int((~np.isfinite(scores)).sum()):
        faults.append(f"{broken} of {len(scores)} scores on the {name} split are not numbers: the model is broken.")
    return faults


_KINDS = ((0, "negatives"), (1, "positives"))


def _failures(point: OperatingPoint, fpr: Rate, tpr: Rate, missing: int, limits: Limits) -> list[str]:
    failures = []
    if point.missing:
        failures.append(
            f"The calibration split has too few negatives to guarantee a threshold: {point.calibration}, "
            f"{point.missing} more are needed."
        )
    if fpr.upper > limits.max_fpr:
        if fpr.value > limits.max_fpr:
            failures.append("The measured rate itself is above the limit: the model raises too many false alarms.")
        failures.append(
            f"{fpr.trials} test negatives cannot prove the limit with {fpr.count} false alarms: "
            f"{missing} more without a further one are needed."
        )
    if tpr.lower < limits.min_tpr:
        failures.append(
            f"True-positive rate {_percent(tpr.value)} ({tpr.count} of {tpr.trials}), lower bound "
            f"{_percent(tpr.lower)}, is under the floor of {_percent(limits.min_tpr)}."
        )
    return failures
