"""The gate's verdict, for people and as strict JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from steps.core.gate.champion import Comparison
from steps.core.gate.clustered_errors import Rate
from steps.core.gate.limits import Fleet, Limits
from steps.core.gate.paired import Gain
from steps.core.gate.slices import Slice
from steps.core.gate.statistics import percent
from steps.core.gate.test_set_ledger import LOOKS_BUDGET, Wear
from steps.core.gate.threshold import OperatingPoint

# SageMaker's FailStep takes no longer message.
MOST_CHARACTERS = 3_072
_PER_NEGATIVES = 100_000
_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says: `reasons` holds a sentence for each failed check, and none if it passed.

    `groups_missing` new groups hold the `negatives_missing`. `gain` is the ranking's over the baseline's, None without
    one. `wear` is None if the ledger could not be read.
    """

    limits: Limits
    point: OperatingPoint | None
    fpr: Rate | None
    tpr: Rate | None
    negatives_missing: int
    reasons: tuple[str, ...]
    groups_missing: int = 0
    slices: tuple[Slice, ...] = ()
    champion: Comparison | None = None
    gain: Gain | None = None
    wear: Wear | None = None
    fpr_upper_of_all_looks: float | None = None
    fleet: Fleet = field(default_factory=Fleet)

    @property
    def passed(self) -> bool:
        return not self.reasons and self.fpr is not None and self.tpr is not None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know, though it fails nothing."""
        if self.wear is None or self.fpr_upper_of_all_looks is None:
            return ()
        worn = self.wear.warning(self.fpr_upper_of_all_looks, self.limits.max_fpr)
        return (worn,) if worn else ()

    @property
    def message(self) -> str:
        """One sentence for a person: what was measured, its bound and the limit, then each reason."""
        limit = f"the limit is {percent(self.limits.max_fpr)}"
        if self.fpr is None:
            measured = f"False-positive rate not measured; {limit}."
        else:
            measured = (
                f"False-positive rate {percent(self.fpr.value)} ({self.fpr.count} of {self.fpr.trials} "
                f"test negatives), {percent(self.limits.confidence)} upper bound {percent(self.fpr.upper)}; {limit}."
            )
        said = " ".join([measured, *self.reasons])
        return said if len(said) <= MOST_CHARACTERS else f"{said[: MOST_CHARACTERS - 1]}…"

    def to_dict(self) -> dict[str, Any]:
        """Return strict JSON: what is not known is null, never NaN."""
        return {
            "passed": self.passed,
            "failed_checks": len(self.reasons),
            "message": self.message,
            "reasons": list(self.reasons),
            "warnings": list(self.warnings),
            "max_fpr": self.limits.max_fpr,
            "min_tpr": self.limits.min_tpr,
            "confidence": self.limits.confidence,
            "limits": self.limits.to_dict(),
            "operating_point": asdict(self.point) if self.point else None,
            "fpr": asdict(self.fpr) if self.fpr else None,
            "tpr": asdict(self.tpr) if self.tpr else None,
            "negatives_missing": self.negatives_missing,
            "groups_missing": self.groups_missing,
            "false_alarms": _false_alarms(self.fpr) if self.fpr else None,
            "slices": [asdict(part) for part in self.slices],
            "champion": self.champion.to_dict() if self.champion else None,
            "baseline": asdict(self.gain) if self.gain else None,
            "ledger": self._ledger(),
            "people": self.people(),
        }

    def people(self) -> dict[str, Any] | None:
        """Return what reviewers have to do, with bounds: false alarms, and hours a day on false and on true ones."""
        if self.fpr is None or self.tpr is None:
            return None
        fleet = self.fleet
        screenshots, hours = fleet.phones * fleet.screenshots_per_day, fleet.seconds_per_review / _SECONDS_PER_HOUR
        negatives, positives = screenshots * (1 - fleet.positive_share), screenshots * fleet.positive_share
        alarms = interval(self.fpr, negatives)
        wasted = {name: number * hours for name, number in alarms.items()}
        useful = {name: number * hours for name, number in interval(self.tpr, positives).items()}
        return {
            "fleet": asdict(fleet),
            "false_alarms": _false_alarms(self.fpr),
            "screenshots_per_day": screenshots,
            "negatives_per_day": negatives,
            "false_alarms_per_day": alarms,
            "reviewer_hours_per_day": {name: wasted[name] + useful[name] for name in wasted},
            "wasted_hours_per_day": wasted,
            "useful_hours_per_day": useful,
        }

    def _ledger(self) -> Mapping[str, Any] | None:
        if self.wear is None:
            return None
        return {
            "looks": self.wear.looks,
            "weight": self.wear.weight,
            "confidence": self.wear.confidence(self.limits.confidence),
            "fpr_upper": self.fpr_upper_of_all_looks,
            "budget": LOOKS_BUDGET,
            "worn_out": bool(self.warnings),
        }


def interval(rate: Rate, factor: float) -> dict[str, float]:
    """Return the measured rate and its bounds, times a factor."""
    return {"value": rate.value * factor, "lower": rate.lower * factor, "upper": rate.upper * factor}


def _false_alarms(fpr: Rate) -> dict[str, float]:
    return {"per_negatives": _PER_NEGATIVES} | interval(fpr, _PER_NEGATIVES)
