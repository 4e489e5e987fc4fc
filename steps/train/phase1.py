"""Phase 1: the head on the frozen backbone's features, a convex problem that is solved to its optimum.

Logistic regression on pooled, standardised features. Its penalty is chosen by cross-validation whose folds keep groups
together, and a screenshot counts 1 / sqrt(screenshots of its group): those of one app resemble each other.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize
from scipy.special import expit, log_expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from steps.core.common.errors import UserError

Floats = npt.NDArray[np.float64]
Pooled = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Positions = npt.NDArray[np.int64]

# The inverse strength of the penalty for a sum of losses, as scikit-learn's C; the first is taken where nothing tells.
PENALTIES = (3e-3, 3e-4, 1e-3, 1e-2, 3e-2)
# Folds by the number of screenshots: with many, one part held out tells as much as all of few.
_FOLDS = ((5_000, 5), (20_000, 3))
_PARTS = 5
_LEAST_DEVIATION = 1e-3
_MOST_ITERATIONS = 300
# From that many screenshots on the space that they span is no smaller to search.
_MOST_SPANNED = 2_000
_LEAST_SQUARE = 1e-9
_MIN_SCALE, _MAX_SCALE = 0.05, 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """A logit that is linear in features: weights float64 [d], and the bias."""

    weights: Floats
    bias: float

    def logits(self, features: Pooled) -> Floats:
        """Return float64 [n] of features [n, d]."""
        return features @ self.weights.astype(np.float32) + np.float64(self.bias)

    def calibrated(self, scale: float, offset: float) -> "Linear":
        return Linear(scale * self.weights, scale * self.bias + offset)


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Screenshots to learn from: features float32 [n, d], labels 0 or 1 [n], groups [n]."""

    features: Pooled
    labels: Labels
    groups: npt.NDArray[np.object_]

    def weights(self) -> Floats:
        """Return what each screenshot counts, float64 [n], 1 on average."""
        sizes = pd.Series(self.groups).map(pd.Series(self.groups).value_counts()).to_numpy(np.float64)
        weights = 1 / np.sqrt(sizes)
        return np.asarray(weights / weights.mean())

    def take(self, at: Positions) -> "Examples":
        return Examples(self.features[at], self.labels[at], self.groups[at])


@dataclass(frozen=True, slots=True, eq=False)
class Phase1:
    """What was solved for on all screenshots, calibrated, and logits of those that had not seen what they are asked.

    `held_out` are the positions that were held out once, in the order of `logits`; empty if there are too few groups.
    """

    solution: Linear
    penalty: float
    held_out: Positions
    logits: Floats


def fit_phase1(examples: Examples, seed: int) -> Phase1:
    """Choose the penalty, solve on everything, and calibrate the scores; raises UserError for one class only.

    The penalty with the least log-loss of held-out screenshots wins. Where classes have fewer than two groups, so that
    nothing can be held out, the first penalty is taken and scores stay as they are.
    """
    if len(np.unique(examples.labels)) < len(("negative", "positive")):
        raise UserError("the development splits hold one class only: add labelled data of the other")
    # On small matrices threads wait for each other longer than they work.
    with threadpool_limits(1 if len(examples.labels) <= _MOST_SPANNED else None):
        return _fit(examples, list(folds(examples, seed)))


def _fit(examples: Examples, parts: Sequence[tuple[Positions, Positions]]) -> Phase1:
    if not parts:
        return Phase1(solve(examples, PENALTIES[0]), PENALTIES[0], np.zeros(0, np.int64), np.zeros(0))
    held_out = np.concatenate([test for _, test in parts])
    logits = np.concatenate([_logits_of_parts(examples, train, test) for train, test in parts], axis=1)
    labels, weights = examples.labels[held_out], examples.weights()[held_out]
    losses = np.average(np.logaddexp(0, np.where(labels == 1, -logits, logits)), axis=1, weights=weights)
    best = int(np.argmin(losses))
    found = solve(examples, PENALTIES[best])
    scale, offset = fit_calibration(logits[best], labels)
    return Phase1(found.calibrated(scale, offset), PENALTIES[best], held_out, scale * logits[best] + offset)


def folds(examples: Examples, seed: int) -> Iterator[tuple[Positions, Positions]]:
    """Yield (positions to learn from, positions held out); groups stay together, and both sides hold both classes."""
    labels, groups = examples.labels, examples.groups
    least = min(len(set(groups[labels == label])) for label in (0, 1))
    count = next((folds for most, folds in _FOLDS if len(labels) <= most), 1)
    parts = min(_PARTS, least) if count in (1, _PARTS) else min(count, least)
    if parts < len(("learned", "held out")):
        return
    split = StratifiedGroupKFold(parts, shuffle=True, random_state=seed).split(labels, labels, groups)
    for number, (train, test) in enumerate(split):
        if number == count:
            return
        if all(len(np.unique(labels[at])) > 1 for at in (train, test)):
            yield train, test


def solve(examples: Examples, penalty: float) -> Linear:
    """Solve the weighted logistic regression on these screenshots."""
    return _solve(_standardised(examples.features), examples, [penalty])[0]


def _logits_of_parts(examples: Examples, train: Positions, test: Positions) -> Floats:
    """Return what the solutions of each penalty that learned from `train` say of `test`, float64 [penalties, test]."""
    learned = examples.take(train)
    found = _solve(_standardised(learned.features), learned, PENALTIES)
    return np.stack([one.logits(examples.features[test]) for one in found])


@dataclass(frozen=True, slots=True, eq=False)
class _Standardised:
    """Standardised features in coordinates of their own, float32 [n, c], and the way back, [c, d], None for none.

    Of fewer screenshots than features the optimum lies in the space that they span: the rest is left out.
    """

    values: Pooled
    mean: Floats
    deviation: Floats
    basis: Floats | None = None

    def back(self, weights: Floats, bias: float) -> Linear:
        """Return what is linear in these coordinates as linear in features."""
        whole = (weights if self.basis is None else weights @ self.basis) / self.deviation
        return Linear(whole, bias - float(whole @ self.mean))


def _standardised(pooled: Pooled) -> _Standardised:
    if not np.isfinite(pooled).all():
        raise UserError("features that are no finite numbers: describe the tiles again, with whole weights")
    mean, deviation = pooled.mean(0, dtype=np.float64), pooled.std(0, dtype=np.float64) + _LEAST_DEVIATION
    values = pooled - mean.astype(np.float32)
    values /= deviation.astype(np.float32)
    if len(values) > min(values.shape[1], _MOST_SPANNED):
        return _Standardised(values, mean, deviation)
    # Of the singular value decomposition what the screenshots' products among themselves tell: a tenth of the work.
    squares, left = np.linalg.eigh(values.astype(np.float64) @ values.T.astype(np.float64))
    kept = squares > _LEAST_SQUARE * squares[-1]
    sizes = np.sqrt(squares[kept])
    basis = (left[:, kept] / sizes).T @ values
    return _Standardised((left[:, kept] * sizes).astype(np.float32), mean, deviation, basis)


def _solve(data: _Standardised, examples: Examples, penalties: Sequence[float]) -> list[Linear]:
    """Return a solution for each penalty; each search starts where the one before ended."""
    solver = LogisticRegression(
        solver="lbfgs" if data.basis is None else "newton-cholesky", warm_start=True, max_iter=_MOST_ITERATIONS
    )
    found = {}
    for penalty in sorted(penalties):
        solver.C = penalty
        with warnings.catch_warnings():
            # A head that is all but solved is as good: its quality is measured on held-out screenshots.
            warnings.simplefilter("ignore", ConvergenceWarning)
            solver.fit(data.values, examples.labels, sample_weight=examples.weights().astype(np.float32))
        found[penalty] = data.back(solver.coef_[0].astype(np.float64), float(solver.intercept_[0]))
    return [found[penalty] for penalty in penalties]


def fit_calibration(logits: Floats, labels: npt.NDArray[np.integer]) -> tuple[float, float]:
    """Fit score = sigmoid(scale logit + offset) to labels, 0 or 1, by likelihood; logits are float64 [n].

    Platt's method (1999) with his targets (n+ + 1) / (n+ + 2) and 1 / (n- + 2), which keep a separable sample from
    sending the scale to infinity. The scale stays within 0.05 and 5: a score must rise with its logit. Without both
    classes, or with a logit that is no number, nothing is known: 1 and 0.
    """
    positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
    if not positives or not negatives or not np.isfinite(logits).all():
        return 1.0, 0.0
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(point: Floats) -> tuple[float, Floats]:
        scale, offset = np.exp(point[0]), point[1]
        scaled = scale * logits + offset
        value = -np.sum(targets * log_expit(scaled) + (1 - targets) * log_expit(-scaled))
        slope = expit(scaled) - targets
        return float(value), np.array([np.sum(slope * logits) * scale, np.sum(slope)])

    bounds = [(np.log(_MIN_SCALE), np.log(_MAX_SCALE)), (-50.0, 50.0)]
    found = optimize.minimize(loss, np.zeros(2), jac=True, bounds=bounds, method="L-BFGS-B")
    return float(np.exp(found.x[0])), float(found.x[1])
