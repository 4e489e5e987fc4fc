"""Whether two samples of screenshots differ by more than a trifle: distances of distributions, with lower bounds.

Not a test of equality, which any large sample fails: a feature has drifted if the *true* distance is above a limit
with the stated confidence, over all features that are looked at together (Bonferroni). Screenshots of one app are not
independent: where a column `group` says so, a sample counts as Kish's effective number of groups (1965),
(sum of sizes)^2 / sum of squared sizes, which is at most the number of groups.
"""

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from steps.core.gate.statistics import clopper_pearson
from steps.validate.shortcuts import text_of

GROUP = "group"
EMBEDDING = "embedding"
_CONFIDENCE = 0.95
_SEED = 17
_LEAST_GROUPS = 30
_MOST_VALUES = 200
_CATEGORIES = 8
# Hundreds of columns and few groups: without a strong penalty the classifier learns the groups by heart.
_REGULARISATION = 0.01


@dataclass(frozen=True, slots=True)
class Drift:
    """How far two samples lie apart in one feature; distances are from 0 (equal) to 1 (nothing in common).

    The distance is that of Kolmogorov and Smirnov for numbers, total variation for categories, and for embeddings 2 x
    accuracy - 1 of a classifier that tells the samples apart, which is at most the total variation. lower: the lower
    confidence bound of the true distance. n_base, n_new: how many independent screenshots the bound rests on.
    """

    feature: str
    distance: float
    lower: float
    n_base: int
    n_new: int
    limit: float

    @property
    def drifted(self) -> bool:
        return self.lower > self.limit


@dataclass(frozen=True, slots=True)
class SliceDrift:
    """A drift within the screenshots whose `column` has `value`."""

    column: str
    value: str
    drift: Drift


def compare(
    base: pd.DataFrame,
    new: pd.DataFrame,
    features: Sequence[str],
    *,
    confidence: float = _CONFIDENCE,
    limit: float = 0.2,
) -> list[Drift]:
    """Compare each feature of two samples; features that either side lacks are left out.

    Numbers are compared by their distribution functions, without NaN; truth values and text by their shares, missing
    ones being a value. Where a side has no row (or only NaN) nothing is known: distance and bound are 0.
    """
    shared = [name for name in dict.fromkeys(features) if name in base and name in new]
    risk = (1 - confidence) / max(1, len(shared))
    counts = _effective(base), _effective(new)
    return [_compare_feature(name, base, new, counts=counts, risk=risk, limit=limit) for name in shared]


def compare_slices(
    base: pd.DataFrame,
    new: pd.DataFrame,
    columns: Sequence[str],
    features: Sequence[str],
    *,
    limit: float = 0.2,
) -> list[SliceDrift]:
    """Compare within each value of each slice column that both samples hold with at least 30 groups.

    A column of more than 200 values names screenshots rather than kinds of them, and is left out. A row is a group
    where there is no column `group`. The confidence is over all of it; the surest drifts come first.
    """
    parts = [
        (column, value, base[in_base], new[in_new])
        for column in columns
        if column in base and column in new and new[column].nunique() <= _MOST_VALUES
        for value in sorted(set(base[column].dropna()) & set(new[column].dropna()), key=str)
        for in_base, in_new in [(base[column] == value, new[column] == value)]
        if min(_groups(base[in_base]), _groups(new[in_new])) >= _LEAST_GROUPS
    ]
    each = 1 - (1 - _CONFIDENCE) / max(1, len(parts))
    found = [
        SliceDrift(column, str(value), drift)
        for column, value, ours, theirs in parts
        for drift in compare(ours, theirs, [f for f in features if f != column], confidence=each, limit=limit)
    ]
    return sorted(found, key=lambda slice_: (-slice_.drift.lower, -slice_.drift.distance))


def classifier_two_sample(
    base: npt.NDArray[np.floating],
    new: npt.NDArray[np.floating],
    base_groups: Sequence[Hashable],
    new_groups: Sequence[Hashable],
    *,
    limit: float = 0.2,
) -> Drift:
    """Compare two samples of embeddings, float [n, d] and [m, d], by how well a classifier tells them apart.

    Lopez-Paz and Oquab (2017): a logistic regression learns from half of the groups and is judged on one row of each
    other group, so that its trials are independent; an app in both samples is one group. The distance is 2 x balanced
    accuracy - 1, its bound made of a Clopper-Pearson bound for each sample. With fewer than two groups on a side
    nothing is known: distance and bound are 0. Raises ValueError for shapes that do not fit and for values that are not
    finite.
    """
    values = np.concatenate([base, new]).astype(np.float64)
    side = np.repeat([0, 1], [len(base), len(new)])
    group = pd.factorize(np.array([*base_groups, *new_groups], object))[0].astype(np.int64)
    rng = np.random.default_rng(_SEED)
    learns = _half_of_groups(group, side, rng)
    judged = _one_of_each(group, side, np.flatnonzero(~learns), rng)
    trials = [int((side[judged] == at).sum()) for at in (0, 1)]
    if min(trials) == 0 or len(np.unique(side[learns])) < 2:  # noqa: PLR2004 - both samples
        return Drift(EMBEDDING, 0.0, 0.0, trials[0], trials[1], limit)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=_REGULARISATION, class_weight="balanced"))
    with warnings.catch_warnings():
        # A classifier that has not converged is judged all the same, and its bound holds.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(values[learns], side[learns])
    right = model.predict(values[judged]) == side[judged]
    hits = [int(right[side[judged] == at].sum()) for at in (0, 1)]
    each = 1 - (1 - _CONFIDENCE) / 2
    lower = sum(clopper_pearson(hit, trial, each)[0] for hit, trial in zip(hits, trials, strict=True)) - 1
    distance = sum(hit / trial for hit, trial in zip(hits, trials, strict=True)) - 1
    return Drift(EMBEDDING, max(0.0, distance), max(0.0, lower), trials[0], trials[1], limit)


def numeric_margin(n: int, risk: float) -> float:
    """Return how far an empirical distribution function of n values may lie from the true one.

    Dvoretzky, Kiefer and Wolfowitz with the constant of Massart (1990): farther with a probability of at most `risk`.
    """
    return float(np.sqrt(np.log(2 / risk) / (2 * n))) if n else 1.0


def category_margin(n: int, categories: int, risk: float) -> float:
    """Return how far, in total variation, the shares of n values may lie from the true ones.

    Weissman et al. (2003), Inequalities for the L1 deviation of the empirical distribution, with half of the L1.
    """
    if not n or categories < 2:  # noqa: PLR2004 - one category always has all of it
        return 1.0 if not n else 0.0
    sets = categories * np.log(2) + np.log1p(-(2.0 ** (1 - categories)))
    return float(np.sqrt((sets - np.log(risk)) / (2 * n)))


def _compare_feature(
    name: str, base: pd.DataFrame, new: pd.DataFrame, *, counts: tuple[int, int], risk: float, limit: float
) -> Drift:
    numeric = all(is_number(frame[name]) for frame in (base, new))
    n_base, n_new = counts
    if numeric and (base[name].hasnans or new[name].hasnans):
        base, new = base[base[name].notna()], new[new[name].notna()]
        n_base, n_new = _effective(base), _effective(new)
    if not (n_base and n_new):
        return Drift(name, 0.0, 0.0, n_base, n_new, limit)
    # Half of the risk for each sample.
    if numeric:
        distance = _kolmogorov_smirnov(base[name].to_numpy(np.float64), new[name].to_numpy(np.float64))
        margins = [numeric_margin(n, risk / 2) for n in (n_base, n_new)]
    else:
        shares = _shares(base[name], new[name])
        distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
        margins = [category_margin(n, shares.shape[1], risk / 2) for n in (n_base, n_new)]
    return Drift(name, distance, max(0.0, distance - sum(margins)), n_base, n_new, limit)


def is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _kolmogorov_smirnov(base: npt.NDArray[np.float64], new: npt.NDArray[np.float64]) -> float:
    ordered = [np.sort(base), np.sort(new)]
    values = np.concatenate(ordered)
    below = [np.searchsorted(sample, values, side="right") / len(sample) for sample in ordered]
    return float(np.abs(below[0] - below[1]).max())


def _shares(base: pd.Series, new: pd.Series) -> npt.NDArray[np.float64]:
    """Return the shares of categories in both samples, float64 [2, categories].

    The bound grows with the number of categories: those that are not among the most frequent count as one, which can
    only bring the samples nearer.
    """
    samples = enumerate((base, new))
    counts = pd.DataFrame({at: text_of(one).value_counts(normalize=True) for at, one in samples}).fillna(0.0)
    table = counts.sort_index().to_numpy(np.float64)
    order = np.argsort(-table.sum(axis=1), kind="stable")
    kept, rest = table[order[:_CATEGORIES]], table[order[_CATEGORIES:]]
    if len(rest):
        kept = np.vstack([kept, rest.sum(axis=0)])
    return kept.T


def _effective(frame: pd.DataFrame) -> int:
    """Return Kish's effective number of groups, rounded down; a row without a group stands for itself."""
    if GROUP not in frame:
        return len(frame)
    sizes = frame[GROUP].value_counts().to_numpy(np.float64)
    alone = int(frame[GROUP].isna().sum())
    squares = float((sizes**2).sum()) + alone
    return int(len(frame) ** 2 / squares + 1e-9) if squares else 0


def _groups(frame: pd.DataFrame) -> int:
    return len(frame) if GROUP not in frame else frame[GROUP].nunique() + int(frame[GROUP].isna().sum())


def _half_of_groups(
    group: npt.NDArray[np.int64], side: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Tell which rows to learn from: half of the groups, drawn apart among those of one sample, the other and both."""
    groups = np.arange(int(group.max(initial=-1)) + 1)
    held = np.stack([np.isin(groups, group[side == at]) for at in (0, 1)])
    learns = np.zeros(len(groups), bool)
    for pattern in ((True, False), (False, True), (True, True)):
        members = groups[(held[0] == pattern[0]) & (held[1] == pattern[1])]
        learns[rng.permutation(members)[::2]] = True
    return learns[group]


def _one_of_each(
    group: npt.NDArray[np.int64], side: npt.NDArray[np.int64], rows: npt.NDArray[np.intp], rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Return one row, drawn at random, of each group and sample among `rows`."""
    drawn = rng.permutation(rows)
    first = np.unique(2 * group[drawn] + side[drawn], return_index=True)[1]
    return drawn[first]
