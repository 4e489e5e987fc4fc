"""The order in which a tuning tries its hyperparameters: asked in rounds, told in order, so a seed repeats it."""

import itertools
from collections.abc import Sequence
from typing import Any, Protocol

from pipelines.local.errors import DefinitionError
from pipelines.local.ranges import Range, grid_points

STRATEGIES = ("Bayesian", "Random", "Grid")
_MOST_STARTUP = 10


class Search(Protocol):
    """Proposes rounds of hyperparameters and learns from what came of them."""

    def ask(self, count: int) -> list[dict[str, str]]:
        """Return up to `count` proposals; fewer, or none, if there are no more."""
        ...

    def tell(self, objectives: Sequence[float | None]) -> None:
        """Give the objectives of the last round in its order, None for a job that failed."""
        ...


def startup_trials(jobs: int) -> int:
    """Return how many of `jobs` are drawn at random before the Bayesian search models anything: a fifth, 3 to 10.

    optuna's default is 10, which would leave nothing to model in the few jobs that one machine can afford.
    """
    return min(_MOST_STARTUP, max(3, jobs // 5))


def make_search(strategy: str, ranges: Sequence[Range], *, jobs: int, maximize: bool, seed: int) -> Search:
    """Return the search of a strategy; raises DefinitionError for one that is not supported."""
    if strategy == "Grid":
        return _Grid(ranges)
    if strategy in STRATEGIES:
        return _Optuna(strategy, ranges, jobs=jobs, maximize=maximize, seed=seed)
    raise DefinitionError(f"the tuning strategy {strategy!r} does not run here: supported are {', '.join(STRATEGIES)}")


class _Grid:
    def __init__(self, ranges: Sequence[Range]) -> None:
        self._points = grid_points(ranges)

    def ask(self, count: int) -> list[dict[str, str]]:
        return list(itertools.islice(self._points, count))

    def tell(self, objectives: Sequence[float | None]) -> None:
        """Learn nothing: the grid is fixed."""


class _Optuna:
    def __init__(self, strategy: str, ranges: Sequence[Range], *, jobs: int, maximize: bool, seed: int) -> None:
        self._optuna = _import_optuna()
        samplers = self._optuna.samplers
        self._study = self._optuna.create_study(
            direction="maximize" if maximize else "minimize",
            sampler=samplers.RandomSampler(seed=seed)
            if strategy == "Random"
            else samplers.TPESampler(
                seed=seed, multivariate=True, constant_liar=True, n_startup_trials=startup_trials(jobs)
            ),
        )
        self._ranges = ranges
        self._round: list[Any] = []

    def ask(self, count: int) -> list[dict[str, str]]:
        self._round = [self._study.ask() for _ in range(count)]
        return [{item.name: item.draw(trial) for item in self._ranges} for trial in self._round]

    def tell(self, objectives: Sequence[float | None]) -> None:
        for trial, objective in zip(self._round, objectives, strict=True):
            if objective is None:
                self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            else:
                self._study.tell(trial, objective)


def _import_optuna() -> Any:
    import warnings

    try:
        import optuna
    except ImportError as error:
        raise DefinitionError("a tuning needs optuna: install tilegate[local]") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna
