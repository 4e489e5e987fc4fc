"""The order in which a tuning tries its hyperparameters: asked in rounds, told in order, so a seed repeats it.

A Bayesian search learns from its own trials and, started warm, from those of earlier nights. Objectives of different
data do not compare: the same hyperparameters score otherwise on other screenshots. So every trial counts by its rank
within its night, best to worst, and a night's level says nothing about another's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.executor.errors import DefinitionError
from pipelines.executor.ranges import Range
from pipelines.executor.warm import Night

STRATEGIES = ("Bayesian", "Random")
_MOST_STARTUP = 10


def startup_trials(jobs: int) -> int:
    """Return how many of `jobs` are drawn at random before the Bayesian search models anything: a fifth, 3 to 10.

    optuna's default is 10, which would leave nothing to model in the few jobs that one machine can afford. Trials of
    earlier nights count.
    """
    return min(_MOST_STARTUP, max(3, jobs // 5))


@dataclass(frozen=True, slots=True)
class _Tried:
    """A point in the optimiser's own terms, and the objective, higher is better; None for a job that failed."""

    point: Mapping[str, Any]
    value: float | None


class Search:
    """Proposes rounds of hyperparameters and learns from what came of them.

    `first` are tried before anything else, whatever of them lies within the ranges; `nights` are earlier searches. The
    study is made anew for each round, because the ranks of trials change with every one that joins them. Raises
    DefinitionError for a strategy that is not supported.
    """

    def __init__(
        self,
        strategy: str,
        ranges: Sequence[Range],
        *,
        jobs: int,
        maximize: bool,
        seed: int,
        first: Sequence[Mapping[str, str]] = (),
        nights: Sequence[Night] = (),
    ) -> None:
        if strategy not in STRATEGIES:
            raise DefinitionError(
                f"the tuning strategy {strategy!r} does not run on one machine: use {' or '.join(STRATEGIES)}"
            )
        self._optuna = _import_optuna()
        self._sign = 1.0 if maximize else -1.0
        samplers = self._optuna.samplers
        # One sampler for all rounds: it goes on where its random numbers are.
        self._sampler = (
            samplers.RandomSampler(seed=seed)
            if strategy == "Random"
            else samplers.TPESampler(
                seed=seed, multivariate=True, constant_liar=True, n_startup_trials=startup_trials(jobs)
            )
        )
        self._ranges = ranges
        self._distributions = {item.name: item.distribution(self._optuna.distributions) for item in ranges}
        self._first = [point for point in map(self._point, first) if point]
        self._earlier = [self._night(night) for night in nights]
        self._tonight: list[_Tried] = []
        self._round: list[Any] = []

    def ask(self, count: int) -> list[dict[str, str]]:
        """Return `count` proposals."""
        study = self._optuna.create_study(direction="maximize", sampler=self._sampler)
        # The oldest first: the model gives what is long ago less weight.
        for night in (*reversed(self._earlier), self._tonight):
            self._add(study, night)
        for point in self._first[:count]:
            study.enqueue_trial(dict(point))
        self._first = self._first[count:]
        self._round = [study.ask() for _ in range(count)]
        return [{item.name: item.draw(trial) for item in self._ranges} for trial in self._round]

    def tell(self, objectives: Sequence[float | None]) -> None:
        """Give the objectives of the last round in its order, None for a job that failed."""
        for trial, objective in zip(self._round, objectives, strict=True):
            value = None if objective is None else self._sign * objective
            self._tonight.append(_Tried(dict(trial.params), value))

    def _point(self, tuned: Mapping[str, str]) -> dict[str, Any]:
        read = {item.name: item.read(tuned[item.name]) for item in self._ranges if item.name in tuned}
        return {name: value for name, value in read.items() if value is not None}

    def _night(self, night: Night) -> list[_Tried]:
        """Return the trials that this search could have tried as well: all of its parameters, within its ranges."""
        tried = [_Tried(self._point(trial.tuned), self._sign * trial.objective) for trial in night]
        return [item for item in tried if len(item.point) == len(self._ranges)]

    def _add(self, study: Any, night: Sequence[_Tried]) -> None:
        states, make = self._optuna.trial.TrialState, self._optuna.trial.create_trial
        for item, rank in zip(night, _ranks([item.value for item in night]), strict=True):
            told = {"state": states.FAIL} if rank is None else {"value": rank}
            study.add_trial(make(params=dict(item.point), distributions=self._distributions, **told))


def _ranks(values: Sequence[float | None]) -> list[float | None]:
    """Return the share of the other trials that each is better than, 0 to 1, a tie counting half."""
    known = [value for value in values if value is not None]

    def rank(value: float) -> float:
        if len(known) == 1:
            return 0.5
        below = sum(other < value for other in known) + (sum(other == value for other in known) - 1) / 2
        return below / (len(known) - 1)

    return [None if value is None else rank(value) for value in values]


def _import_optuna() -> Any:
    import warnings

    try:
        import optuna
    except ImportError as error:
        raise DefinitionError("a tuning needs optuna: install tilegate[local]") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna
