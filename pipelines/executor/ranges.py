"""The search space of a tuning: its parameter ranges, mapped from and to what an optimiser draws."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipelines.executor.errors import DefinitionError

_SCALINGS = ("Auto", "Linear", "Logarithmic", "ReverseLogarithmic")


class Draw(Protocol):
    """What proposes values (an optuna trial)."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> Any: ...


@dataclass(frozen=True, slots=True)
class Range:
    """One parameter: `choices` if categorical, else bounds, both included."""

    name: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    scaling: str = "Auto"

    def draw(self, trial: Draw) -> str:
        """Return the proposed value as SageMaker would send it to the job: text."""
        if self.choices:
            return str(trial.suggest_categorical(self.name, self.choices))
        logarithmic = self.scaling == "Logarithmic"
        if self.whole:
            return str(trial.suggest_int(self.name, int(self.low), int(self.high), log=logarithmic))
        drawn = trial.suggest_float(self.name, *self._ends, log=logarithmic)
        return repr(min(max(-math.expm1(-drawn), self.low), self.high) if self._reversed else drawn)

    def read(self, text: str) -> float | str | None:
        """Return a value from a job's text as the optimiser knows it, None if it lies outside of the range."""
        if self.choices:
            return text if text in self.choices else None
        try:
            number = float(text)
        except ValueError:
            return None
        if not self.low <= number <= self.high or (self.whole and not number.is_integer()):
            return None
        if self.whole:
            return int(number)
        return min(max(_reverse(number), self._ends[0]), self._ends[1]) if self._reversed else number

    def distribution(self, kinds: Any) -> Any:
        """Return the range in the optimiser's terms; `kinds` is optuna.distributions."""
        if self.choices:
            return kinds.CategoricalDistribution(self.choices)
        logarithmic = self.scaling == "Logarithmic"
        if self.whole:
            return kinds.IntDistribution(int(self.low), int(self.high), log=logarithmic)
        return kinds.FloatDistribution(*self._ends, log=logarithmic)

    @property
    def _reversed(self) -> bool:
        return self.scaling == "ReverseLogarithmic" and not self.whole

    @property
    def _ends(self) -> tuple[float, float]:
        return (_reverse(self.low), _reverse(self.high)) if self._reversed else (self.low, self.high)


def _reverse(number: float) -> float:
    """Return -log(1 - x), in which ReverseLogarithmic is searched: it spreads out what lies close to 1."""
    return -math.log1p(-number)


def parse_ranges(document: Mapping[str, Any]) -> tuple[Range, ...]:
    """Read ParameterRanges, whose bounds are text; raises DefinitionError for one that spans nothing."""
    ranges = [_numeric(item, whole=False) for item in document.get("ContinuousParameterRanges") or ()]
    ranges += [_numeric(item, whole=True) for item in document.get("IntegerParameterRanges") or ()]
    for item in document.get("CategoricalParameterRanges") or ():
        if not item.get("Values"):
            raise DefinitionError(f"the tuned parameter {item.get('Name')} has no Values: give it at least one")
        ranges.append(Range(item["Name"], choices=tuple(item["Values"])))
    if not ranges:
        raise DefinitionError("the tuning has no ParameterRanges: nothing would differ between its jobs")
    return tuple(ranges)


def _numeric(item: Mapping[str, Any], *, whole: bool) -> Range:
    name, scaling = item.get("Name", "?"), item.get("ScalingType") or "Auto"
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
    if scaling not in _SCALINGS:
        raise DefinitionError(f"the tuned parameter {name} scales {scaling!r}: wanted one of {', '.join(_SCALINGS)}")
    if scaling == "Logarithmic" and low <= 0:
        raise DefinitionError(f"the tuned parameter {name} starts at {low:g}: Logarithmic needs a bound above 0")
    if scaling == "ReverseLogarithmic" and (whole or low < 0 or high >= 1):
        raise DefinitionError(
            f"the tuned parameter {name} scales ReverseLogarithmic: that needs 0 <= x < 1, continuous"
        )
    return Range(name, low=low, high=high, whole=whole, scaling=scaling)
