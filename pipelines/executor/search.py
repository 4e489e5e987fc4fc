"""The search of a tuning: rounds of proposals, their objectives told in order, so that a seed repeats it.

A Bayesian search learns from its own trials and, started warm, from those of earlier nights. Objectives of different
data do not compare: the same hyperparameters score otherwise on other screenshots. So every trial counts by its rank
within its night, best to worst, and a night's level says nothing about another's.
"""

import bisect
import hashlib
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.executor.errors import DefinitionError
from pipelines.executor.files import read_json

_LEAST_STARTUP, _MOST_STARTUP = 3, 10
OBJECTIVE = "FinalHyperParameterTuningJobObjectiveMetric"
Tried = tuple[Mapping[str, Any], float | None]
"""A point in the optimiser's own terms, and the objective, higher is better; None for a job that failed."""


@dataclass(frozen=True, slots=True)
class Range:
    """One parameter's bounds, both included."""

    name: str
    low: float
    high: float
    whole: bool
    logarithmic: bool

    def __str__(self) -> str:
        return f"{self.low} to {self.high}" + (" logarithmic" if self.logarithmic else "")

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


class EarlierTrial(NamedTuple):
    """Hyperparameters that were tried, as text, and the objective that they reached on the data of their time."""

    tuned: Mapping[str, str]
    objective: float


Night = tuple[EarlierTrial, ...]


class Search:
    """Proposes rounds of hyperparameters and learns what each has reached.

    `first` are tried before anything else, whatever of them lies within the ranges; `nights` are earlier searches. The
    study is made anew for each round, because the ranks of trials change with every one that joins them.
    """

    def __init__(
        self,
        ranges: Sequence[Range],
        *,
        jobs: int,
        seed: int,
        first: Sequence[Mapping[str, str]] = (),
        nights: Sequence[Night] = (),
    ) -> None:
        self._optuna = _import_optuna()
        # optuna's default is 10, which would leave nothing to model in the few jobs that one machine can afford: a
        # fifth of them is drawn at random before anything is modelled, trials of earlier nights included.
        startup = min(_MOST_STARTUP, max(_LEAST_STARTUP, jobs // 5))
        # One sampler for all rounds: it goes on where its random numbers are.
        self._sampler = self._optuna.samplers.TPESampler(
            seed=seed, multivariate=True, constant_liar=True, n_startup_trials=startup
        )
        self._ranges = ranges
        self._distributions = {item.name: item.distribution(self._optuna.distributions) for item in ranges}
        self._first = [point for point in map(self._point, first) if point]
        # Of earlier trials those that this search could have tried as well: all of its parameters, within its ranges.
        points = [[(self._point(trial.tuned), trial.objective) for trial in night] for night in nights]
        self._earlier: list[list[Tried]] = [
            [tried for tried in night if len(tried[0]) == len(self._ranges)] for night in points
        ]
        self._tonight: list[Tried] = []
        self._round: list[Any] = []

    def ask(self, count: int) -> list[dict[str, str]]:
        """Return `count` proposals, values as SageMaker would send them to the job: text."""
        study = self._optuna.create_study(direction="maximize", sampler=self._sampler)
        # The oldest first: the model gives what is long ago less weight.
        for night in (*reversed(self._earlier), self._tonight):
            self._add(study, night)
        for point in self._first[:count]:
            study.enqueue_trial(dict(point))
        self._first = self._first[count:]
        self._round = [study.ask(self._distributions) for _ in range(count)]
        return [{name: str(value) for name, value in trial.params.items()} for trial in self._round]

    def tell(self, objectives: Sequence[float | None]) -> None:
        """Give the objectives of the last round in its order, None for a job that failed."""
        self._tonight += zip([trial.params for trial in self._round], objectives, strict=True)

    def _point(self, tuned: Mapping[str, str]) -> dict[str, Any]:
        read = {item.name: item.read(tuned[item.name]) for item in self._ranges if item.name in tuned}
        return {name: value for name, value in read.items() if value is not None}

    def _add(self, study: Any, night: Sequence[Tried]) -> None:
        states, make = self._optuna.trial.TrialState, self._optuna.trial.create_trial
        for (point, _), rank in zip(night, _ranks([value for _, value in night]), strict=True):
            end = {"state": states.FAIL} if rank is None else {"value": rank}
            study.add_trial(make(params=dict(point), distributions=self._distributions, **end))


def _ranks(values: Sequence[float | None]) -> list[float | None]:
    """Return the share of the other trials that each is better than, 0 to 1, a tie counting half."""
    known = sorted(value for value in values if value is not None)

    def rank(value: float) -> float:
        if len(known) == 1:
            return 0.5
        return (bisect.bisect_left(known, value) + bisect.bisect_right(known, value) - 1) / 2 / (len(known) - 1)

    return [None if value is None else rank(value) for value in values]


def _import_optuna() -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def earlier_night(runs: Path, name: str) -> Night:
    """Return the trials of a tuning job in the folder of runs; raises DefinitionError if it is not there."""
    # A job's name holds the id of the execution that ran it, which is the name of its folder.
    for run in (folder for folder in runs.iterdir() if folder.name in name):
        for path in run.glob("steps/*/result.json"):
            properties = (read_json(path) or {}).get("properties") or {}
            if properties.get("HyperParameterTuningJobName") == name:
                jobs = [job for job in properties["TrainingJobSummaries"] if OBJECTIVE in job]
                return tuple(EarlierTrial(job["TunedHyperParameters"], job[OBJECTIVE]["Value"]) for job in jobs)
    raise DefinitionError(f"the parent tuning job {name!r} is not in {runs}: name one that succeeded on this machine")


def nights_digest(nights: Sequence[Night]) -> str:
    """Return what a cache compares: what was tried and what it reached, not by which job."""
    return hashlib.sha256(json.dumps(nights, sort_keys=True).encode()).hexdigest()


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
