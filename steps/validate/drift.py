"""Drift between two samples of screenshots: distances of distributions, with lower bounds.

Not a test of equality, which any large sample fails: a feature has drifted if the *true* distance is above a limit
with the stated confidence, over all features that are looked at together (Bonferroni). Screenshots of one app are not
independent: where a column `group` says so, a sample counts as Kish's effective number of groups (1965),
(sum of sizes)^2 / sum of squared sizes, which is at most the number of groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from steps.validate.appearance import APPEARANCE_COLUMNS
from steps.validate.shortcuts import size_names, text_of

NUMBERS = ("short side", "aspect", *APPEARANCE_COLUMNS)
CATEGORIES = ("size", "orientation", "format")
GROUP = "group"
CONFIDENCE = 0.95
_CATEGORIES = 8


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


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The outcome of one comparison; `base` and `new` hold the compared features, a row each screenshot.

    rule: the name of the one whose limit it is held against. against: what the base is, for a sentence.
    """

    rule: str
    against: str
    base: pd.DataFrame
    new: pd.DataFrame
    drifts: Sequence[Drift]

    @property
    def drifted(self) -> list[Drift]:
        return [drift for drift in self.drifts if drift.drifted]

    @property
    def text(self) -> str:
        return f"{len(self.new):,} screenshots against the {len(self.base):,} of {self.against}."


def features_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what is compared, from columns width, height, format and those of `Appearance`; group and slices stay."""
    sides = frame[["width", "height"]]
    wide = frame["width"] > frame["height"]
    return frame.assign(
        **{
            "short side": sides.min(axis=1).astype("float64"),
            "aspect": frame["width"] / frame["height"],
            "size": size_names(frame),
            "orientation": wide.map({True: "landscape", False: "portrait"}),
        }
    )


def compare_screenshots(rule: str, against: str, base: pd.DataFrame, new: pd.DataFrame, *, limit: float) -> Comparison:
    """Compare two samples of screenshots; both have the columns of `features_of`, and may have a `group`."""
    base, new = features_of(base), features_of(new)
    return Comparison(rule, against, base, new, compare(base, new, [*NUMBERS, *CATEGORIES], limit=limit))


def compare(base: pd.DataFrame, new: pd.DataFrame, features: Sequence[str], *, limit: float = 0.2) -> list[Drift]:
    """Compare each feature of two samples; features that either side lacks are left out.

    Numbers are compared by their distribution functions, without NaN; truth values and text by their shares, missing
    ones being a value. Where a side has no row (or only NaN) nothing is known: distance and bound are 0.
    """
    shared = [name for name in dict.fromkeys(features) if name in base and name in new]
    risk = (1 - CONFIDENCE) / max(1, len(shared))
    counts = _effective(base), _effective(new)
    return [_compare_feature(name, base, new, counts=counts, risk=risk, limit=limit) for name in shared]


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
    # Not `scipy.stats.ks_2samp`, which also works out a p-value, and divides by zero for one number on a side.
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
