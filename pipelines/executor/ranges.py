"""The search space of a tuning: its parameter ranges, mapped from and to what optuna draws."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.executor.errors import DefinitionError


@dataclass(frozen=True, slots=True)
class Range:
    """One parameter's bounds, both included."""

    name: str
    low: float
    high: float
    whole: bool
    logarithmic: bool

    def read(self, text: str) -> float | None:
        """Return a value from a job's text, None if it is none of the range."""
        try:
            number = float(text)
        except ValueError:
            return None
        if not self.low <= number <= self.high or (self.whole and not number.is_integer()):
            return None
        return int(number) if self.whole else number

    def distribution(self, kinds: Any) -> Any:
        """Return the range in the optimiser's terms; `kinds` is optuna.distributions."""
        if self.whole:
            return kinds.IntDistribution(int(self.low), int(self.high), log=self.logarithmic)
        return kinds.FloatDistribution(self.low, self.high, log=self.logarithmic)


def parse_ranges(document: Mapping[str, Any]) -> tuple[Range, ...]:
    """Read ParameterRanges, whose bounds are text; raises DefinitionError for one that spans nothing."""
    ranges = [_range(item, whole=False) for item in document.get("ContinuousParameterRanges") or ()]
    ranges += [_range(item, whole=True) for item in document.get("IntegerParameterRanges") or ()]
    if not ranges:
        raise DefinitionError("the tuning has no ParameterRanges: nothing would differ between its jobs")
    return tuple(ranges)


def _range(item: Mapping[str, Any], *, whole: bool) -> Range:
    name, logarithmic = item.get("Name", "?"), item.get("ScalingType") == "Logarithmic"
    try:
        low, high = float(item["MinValue"]), float(item["MaxValue"])
    except (KeyError, TypeError, ValueError):
        raise DefinitionError(
            f"the tuned parameter {name} needs numbers as MinValue and MaxValue, got {item}"
        ) from None
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise DefinitionError(f"the tuned parameter {name} ranges from {low:g} to {high:g}: wanted a lower one first")
    if whole and not (low.is_integer() and high.is_integer()):
        raise DefinitionError(f"the tuned parameter {name} is whole but ranges from {low:g} to {high:g}")
    if logarithmic and low <= 0:
        raise DefinitionError(f"the tuned parameter {name} starts at {low:g}: Logarithmic needs a bound above 0")
    return Range(name, low, high, whole, logarithmic)
