"""Gain of one ranking over another of the same screenshots: in partial AUC, by a bootstrap over groups."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from steps.core.gate.roc import PARTIAL_AUC_BELOW, Scores, partial_auc

_DRAWS = 400
_LEAST_GROUPS = 20
_SEED = 17


@dataclass(frozen=True, slots=True)
class Gain:
    """A difference of partial AUCs (-1 to 1), its standard error, and a two-sided 90 % interval."""

    value: float
    error: float
    lower: float
    upper: float

    @property
    def proven(self) -> bool:
        """Whether it is above 0 with 95 % confidence, one-sided."""
        return self.lower > 0

    @property
    def lost(self) -> bool:
        """Whether it is below 0 with 95 % confidence, one-sided."""
        return self.upper < 0

    def __str__(self) -> str:
        return f"partial AUC {self.value:+.3f}, 90 % interval {self.lower:+.3f} to {self.upper:+.3f}"


def paired_gain(scores: Scores, others: Scores, labels: npt.NDArray[np.integer], groups: npt.NDArray[Any]) -> Gain:
    """Return by how much the partial AUC of `scores` exceeds that of `others`; all are of the same screenshots [n].

    Groups are drawn with replacement (Efron 1979; percentile interval), both rankings by the same draws. A draw that
    lacks one of the classes counts for nothing, and of fewer than 20 groups nothing is known.
    """

    def difference(at: npt.NDArray[np.intp]) -> float:
        pair = (partial_auc(values[at], labels[at], PARTIAL_AUC_BELOW) for values in (scores, others))
        return next(pair) - next(pair)

    codes, names = pd.factorize(groups)
    members = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    random = np.random.default_rng(_SEED)
    drawn = []
    for _ in range(_DRAWS):
        at = np.concatenate([members[code] for code in random.integers(0, len(names), len(names))])
        if 0 < labels[at].sum() < len(at):
            drawn.append(difference(at))
    value = difference(np.arange(len(labels)))
    # Draws of a few groups repeat each other, and say nothing of others.
    if len(names) < _LEAST_GROUPS or not drawn:
        return Gain(value, 1.0, -1.0, 1.0)
    lower, upper = np.quantile(drawn, [0.05, 0.95])
    return Gain(value, float(np.std(drawn)), float(lower), float(upper))
