"""Shortcuts: facts that have nothing to do with the content, and what they tell of the label.

A label that follows from the size of a picture, its colours or its file says that the two classes came from different
sources; a model that learns it looks good here and fails on phones.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedGroupKFold

from steps.core.gate.statistics import clopper_pearson
from steps.validate.appearance import APPEARANCE_COLUMNS

MISSING = "(missing)"
PURE_SHARE = 0.05
_LEAST_ROWS, _LEAST_GROUPS = 20, 3
_FOLDS = 5
_MAX_ROWS = 5_000
_TREES = 30
_DRAWS = 200
_SEED = 17
_CONFIDENCE = 0.95
_FREQUENT, _MOST_VALUES = 5, 30


@dataclass(frozen=True, slots=True)
class Probe:
    """The AUC, 0 to 1, of out-of-fold scores pooled; 0.5 is chance.

    lower, upper: by a bootstrap over groups (200 draws), each meant as a one-sided 95 % bound. They are somewhat too
    narrow, because the models of the folds share data (Bengio and Grandvalet 2004): of simulated sets with nothing to
    find, one in ten had its lower bound above 0.5, none above 0.6. groups: how many there were.
    """

    auc: float
    lower: float
    upper: float
    groups: int


def size_names(frame: pd.DataFrame) -> pd.Series:
    """Return the exact sizes as text, "320 x 466", from the columns width and height."""
    return frame["width"].astype(str) + " x " + frame["height"].astype(str)


def feature_sets(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the trivial facts in three sets: "size" (with orientation), "colour" (with brightness) and "file".

    Columns: width, height (pixels), format, bytes (the file's size) and those of `Appearance`.
    """
    pixels = frame["width"].astype("float64") * frame["height"]
    size = pd.DataFrame(
        {
            "width": frame["width"],
            "height": frame["height"],
            "aspect": frame["width"] / frame["height"],
            "landscape": frame["width"] > frame["height"],
            "size": size_names(frame),
        }
    )
    file = frame[["format", "bytes"]].assign(density=frame["bytes"] / pixels)
    return {"size": size, "colour": frame[list(APPEARANCE_COLUMNS)], "file": file}


def probe(features: pd.DataFrame, labels: npt.ArrayLike, groups: npt.ArrayLike) -> Probe | None:
    """Predict labels (0 or 1) from a few columns by cross-validation in which no group is on both sides.

    Numbers are taken as they are (NaN is a value of its own), of any other column the 30 most frequent values. Five
    folds, or as many as there are groups with each class; None if that is fewer than two. Above 5,000 rows as many
    groups as fit are drawn. Extremely randomised trees (Geurts et al. 2006): of the models tried on real screenshots
    none was better on sizes and none as good on colours.
    """
    target, group = np.asarray(labels, np.int64), pd.factorize(np.asarray(groups, object), use_na_sentinel=False)[0]
    rng = np.random.default_rng(_SEED)
    if len(target) > _MAX_ROWS:
        rows = _sample_groups(group, rng)
        features, target, group = features.iloc[rows], target[rows], group[rows]
    with_label = [len(np.unique(group[target == label])) for label in (0, 1)]
    folds = min(_FOLDS, *with_label)
    if folds < 2:  # noqa: PLR2004 - nothing is left to compare with
        return None
    table = _numbers(features)
    count = len(np.unique(group))
    if not table.shape[1]:
        return Probe(0.5, 0.5, 0.5, count)
    scores = np.zeros(len(target))
    for train, test in StratifiedGroupKFold(folds, shuffle=True, random_state=_SEED).split(table, target, group):
        if len(np.unique(target[train])) == 1:
            continue
        # Balanced, or else a fold with more of one class has all its scores shifted against the other folds.
        model = ExtraTreesClassifier(_TREES, min_samples_leaf=3, class_weight="balanced", random_state=_SEED, n_jobs=1)
        scores[test] = model.fit(table[train], target[train]).predict_proba(table[test])[:, 1]
    members = np.unique(group, return_inverse=True)[1]
    draws = rng.multinomial(count, np.full(count, 1 / count), size=_DRAWS)
    aucs = _aucs(scores, target, np.vstack([np.ones(count, np.int64), draws])[:, members])
    lower, upper = np.nanquantile(aucs[1:], (1 - _CONFIDENCE, _CONFIDENCE))
    return Probe(float(aucs[0]), float(lower), float(upper), count)


def pure_values(columns: Mapping[str, pd.Series], labels: npt.ArrayLike, groups: npt.ArrayLike) -> pd.DataFrame:
    """Return the values of `columns` that occur with (nearly) one label only, the most frequent first.

    A value is pure if at most 5 % of its rows have the other label and if that is no chance: it has at least 20 rows
    and 3 groups, and of its groups those with the other label are fewer than elsewhere by more than their one-sided
    95 % Clopper-Pearson bounds. Missing values count as a value, "(missing)". Result: column, value (text), label (0 or
    1, the one it occurs with), n (rows), share (of that label, 0 to 1), groups.
    """
    target = np.asarray(labels, np.int64)
    group = pd.factorize(np.asarray(groups, object), use_na_sentinel=False)[0]
    found = [(name, *facts) for name, values in columns.items() for facts in _pure_of(values, target, group)]
    table = pd.DataFrame(found, columns=["column", "value", "label", "n", "share", "groups"])
    return table.sort_values("n", ascending=False, kind="stable", ignore_index=True)


def _pure_of(
    values: pd.Series, target: npt.NDArray[np.int64], group: npt.NDArray[np.int64]
) -> Iterator[tuple[str, int, int, float, int]]:
    """Yield (value, label, rows, share, groups) of the pure values of a column."""
    code, names = pd.factorize(text_of(values).to_numpy(object))
    rows = _table(code, target, len(names))
    groups = int(group.max(initial=0)) + 1
    # As one number each: to sort rows of three takes thirty times as long.
    pairs = np.unique((code * groups + group) * 2 + target)
    with_label = _table(pairs // (2 * groups), pairs % 2, len(names))
    members = np.bincount(np.unique(pairs // 2) // groups, minlength=len(names))
    for at in np.flatnonzero((rows.sum(axis=1) >= _LEAST_ROWS) & (members >= _LEAST_GROUPS)):
        label = int(rows[at].argmax())
        n, share = int(rows[at].sum()), float(rows[at, label] / rows[at].sum())
        elsewhere = code != at
        if 1 - share > PURE_SHARE or not (target[elsewhere] != label).any():
            continue
        others = len(np.unique(group[elsewhere]))
        other_label = len(np.unique(group[elsewhere & (target != label)]))
        here = clopper_pearson(int(with_label[at, 1 - label]), int(members[at]), _CONFIDENCE)[1]
        if here < clopper_pearson(other_label, others, _CONFIDENCE)[0]:
            yield str(names[at]), label, n, share, int(members[at])


def _table(code: npt.NDArray[np.int64], target: npt.NDArray[np.int64], values: int) -> npt.NDArray[np.int64]:
    """Count by value and label: int64 [values, 2]."""
    return np.bincount(2 * code + target, minlength=2 * values).reshape(-1, 2)


def text_of(values: pd.Series) -> pd.Series:
    """Return values as text, missing ones as one text."""
    return values.astype(object).where(values.notna(), MISSING).astype(str)


def _numbers(features: pd.DataFrame) -> npt.NDArray[np.float32]:
    """Return the columns that vary, float32 [n, columns]; text as indicators of its frequent values."""
    columns: list[npt.NDArray[np.float32]] = []
    for name in features.columns:
        values = features[name]
        if pd.api.types.is_numeric_dtype(values):
            number = values.to_numpy(np.float32, na_value=np.nan)
            columns.append(np.where(np.isfinite(number), number, np.nan))
        else:
            text = text_of(values)
            counts = text.value_counts()
            frequent = counts[counts >= _FREQUENT].sort_index().nlargest(_MOST_VALUES, keep="first").index
            columns += [(text == value).to_numpy(np.float32) for value in frequent]
    varying = [column for column in columns if len(np.unique(column)) > 1]
    return np.stack(varying, axis=1) if varying else np.zeros((len(features), 0), np.float32)


def _sample_groups(group: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return the rows of as many groups, drawn at random, as make at most 5,000 rows, in their order."""
    sizes = np.bincount(group)
    drawn = rng.permutation(len(sizes))
    # One giant would leave no room for others, and others are what it is about.
    drawn = drawn[sizes[drawn] <= _MAX_ROWS // 10]
    kept = drawn[np.cumsum(sizes[drawn]) <= _MAX_ROWS]
    return np.flatnonzero(np.isin(group, kept))


def _aucs(
    scores: npt.NDArray[np.float64], target: npt.NDArray[np.int64], weights: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the AUC under each row of weights [draws, n]: float64 [draws], NaN where a class has no weight."""
    rank = np.unique(scores, return_inverse=True)[1]
    order = np.argsort(rank, kind="stable")
    starts = np.flatnonzero(np.diff(rank[order], prepend=-1))
    sorted_weights, positive = weights[:, order].astype(np.float64), target[order] == 1
    above = np.add.reduceat(sorted_weights * positive, starts, axis=1)
    below = np.add.reduceat(sorted_weights * ~positive, starts, axis=1)
    won: npt.NDArray[np.float64] = (above * (np.cumsum(below, axis=1) - below / 2)).sum(axis=1)
    pairs = above.sum(axis=1) * below.sum(axis=1)
    return np.where(pairs > 0, won / np.maximum(pairs, 1), np.nan)
