"""What tuning brings: Bayesian search against chance and against the defaults, at an equal number of trials.

Run with: pytest tests/benchmarks/test_tuning.py -m benchmark -s
See `tests/benchmarks/screenshots.py` for the data.

The searches are those that `pipelines.executor` runs, two trials at a time, in the ranges of `steps.train.search_space`
but for the learning rate, which is a head's here. A night is a split of the groups into thirds: the objective is the
TPR at 5 % FPR on the second one, of a trial's best epoch. How much of a gain was luck is told by what the chosen trial
finds on the third one, which no search has seen, and by what the chosen hyperparameters reach on other nights.
"""

import statistics

import numpy as np
import pytest

from pipelines.executor.ranges import Range
from pipelines.executor.search import Search
from pipelines.executor.stopping import NEVER, MedianRule
from pipelines.executor.warm import EarlierTrial
from steps.train.search_space import TUNED, default_trial
from tests.benchmarks.frozen_head import FrozenHead, describe

pytestmark = pytest.mark.benchmark

PARALLEL = 2
AFTER = (4, 8, 12, 20)
HEAD_RATES = (1e-5, 1e-1)
DEFAULTS = {**default_trial(), "fine-tune-learning-rate": "0.001"}


def ranges():
    bounds = {"fine-tune-learning-rate": HEAD_RATES}
    for tuned in TUNED:
        low, high = bounds.get(tuned.name, (tuned.low, tuned.high))
        yield Range(tuned.name, low=low, high=high, scaling=tuned.scale)


class Night:
    """A night's searches; the same trial is trained once."""

    def __init__(self, data, seed, *, share=1.0):
        self.seed, self._head, self._known = seed, FrozenHead(data, seed, share=share), {}

    def train(self, tuned):
        key = tuple(sorted(tuned.items()))
        if key not in self._known:
            self._known[key] = self._head.train(tuned)
        return self._known[key]

    def search(self, strategy, *, trials, stops=False, **options):
        """Return the trials in their order: hyperparameters, objective, what is found unseen, epochs, stopped."""
        search = Search(strategy, tuple(ranges()), jobs=trials, maximize=True, seed=self.seed, **options)
        done = []
        while len(done) < trials:
            rule = MedianRule([curve for *_, curve in done], maximize=True) if stops else NEVER
            told = []
            for tuned in search.ask(min(PARALLEL, trials - len(done))):
                curve, unseen = self.train(tuned)
                at = rule.stops_at(curve)
                curve = curve if at is None else curve[: at + 1]
                best = int(np.argmax(curve))
                told.append((tuned, curve[best], unseen[best], at is not None, curve))
            search.tell([objective for _, objective, *_ in told])
            done += told
        return done


def chosen(trials):
    return max((trial for trial in trials if not trial[3]), key=lambda trial: trial[1])


def row(name, nights, rivals, others):
    after = {n: statistics.mean(chosen(trials[:n])[1] for trials in nights) for n in AFTER}
    final = [chosen(trials)[1] for trials in nights]
    unseen = statistics.mean(chosen(trials)[2] for trials in nights)
    elsewhere = statistics.mean(max(o.train(chosen(trials)[0])[0]) for trials in nights for o in others)
    spent = statistics.mean(sum(len(curve) for *_, curve in trials) for trials in nights)
    pairs = list(zip(final, [chosen(trials)[1] for trials in rivals], strict=True))
    against = f"{sum(a > b for a, b in pairs)}:{sum(a < b for a, b in pairs)}"
    means = " ".join(f"{value:8.3f}" for value in after.values())
    return (
        f"{name:<34}{means} {statistics.median(final):8.3f} {against:>9} {unseen:8.3f} {elsewhere:12.3f} {spent:7.0f}"
    )


def test_bayesian_search_against_chance_and_the_defaults(tmp_path, sizes, network):
    """Prints, over nights: mean best objective after 4 to 20 trials, its median, won:lost against chance."""
    sample, count, elsewhere, trials = sizes(full=(600, 30, 6, max(AFTER)), smoke=(60, 1, 1, 6))
    data = describe(tmp_path, sample=sample)
    nights = [Night(data, seed) for seed in range(count)]
    others = [Night(data, 5000 + seed) for seed in range(elsewhere)]
    first = {"first": [DEFAULTS], "trials": trials}

    def warm(night):
        """Start from a night before, when 70 % of the groups were there, each in the third that it is in tonight."""
        found = Night(data, night.seed, share=0.7).search("Bayesian", **first)
        earlier = tuple(EarlierTrial(tuned, objective) for tuned, objective, *_ in found)
        best = max(earlier, key=lambda trial: trial.objective)
        return night.search("Bayesian", trials=trials, first=[DEFAULTS, best.tuned], nights=[earlier])

    searches = {
        "defaults": lambda night: [(DEFAULTS, *_best(night.train(DEFAULTS)), False, [])] * trials,
        "random": lambda night: night.search("Random", trials=trials),
        "random, defaults first": lambda night: night.search("Random", **first),
        "Bayesian": lambda night: night.search("Bayesian", trials=trials),
        "Bayesian, defaults first": lambda night: night.search("Bayesian", **first),
        "the same, stopped early": lambda night: night.search("Bayesian", stops=True, **first),
        "the same, warm from an earlier one": warm,
    }
    results = {name: [search(night) for night in nights] for name, search in searches.items()}
    print(f"\n{len(data.labels)} screenshots, {count} nights; TPR at 5 % FPR")
    titles = " ".join(f"{f'after {n}':>8}" for n in AFTER)
    print(f"{'':<34}{titles} {'median':>8} {'won:lost':>9} {'unseen':>8} {'other nights':>12} {'epochs':>7}")
    for name, found in results.items():
        print(row(name, found, results["random"], others))
    for with_defaults, without in zip(results["Bayesian, defaults first"], results["defaults"], strict=True):
        assert chosen(with_defaults)[1] >= chosen(without)[1]


def _best(curves):
    best = int(np.argmax(curves[0]))
    return curves[0][best], curves[1][best]
