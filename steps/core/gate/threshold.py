"""The threshold: chosen on calibration negatives so that its true FPR is within the limit with the wanted confidence.

Learn-then-Test (Angelopoulos et al. 2021) by fixed-sequence testing. From the strictest threshold downwards, each is
tested for "its true FPR is above the limit" with the group-aware binomial tail of `clustered_errors`, until the first
one that is not rejected. A threshold that breaks the limit is accepted only if the first such one on the way is, so one
test at level alpha is what all of them cost together. Where no group repeats, the tail at the k-th largest score is
P(Binomial(n, limit) <= k): the Neyman-Pearson umbrella rule (Tong, Feng and Li 2018).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from steps.core.gate.clustered_errors import (
    FEW,
    Codes,
    Errors,
    Floats,
    Needed,
    Sizes,
    effective_counts,
    needed,
    upper_design_effect,
    violations,
)
from steps.core.gate.limits import Limits
from steps.core.gate.roc import Scores
from steps.core.gate.statistics import at_most, errors_allowed, pass_probability

_POWER_WANTED = 0.8


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A frozen threshold: `score > threshold` is positive.

    `allowed` negatives of `calibration` lie above it; those of `groups` groups count as `effective` independent ones.
    `violation` is the chance that the true FPR is above the limit, `power` the chance that the test split's check
    passes, both known before any test score is seen. `missing` calibration negatives in `missing_groups` new groups
    are needed before any threshold has the guarantee.
    """

    threshold: float
    allowed: int
    calibration: int
    violation: float
    power: float
    missing: int
    groups: int
    effective: float
    missing_groups: int


def choose_threshold(negatives: Scores, codes: Codes, limits: Limits, test: Sizes) -> OperatingPoint:
    """Choose the threshold from [n] scores of calibration negatives (n >= 1, no NaN) in [n] group numbers from 0.

    A threshold at the limit itself would break it half the time. Of the thresholds whose true FPR is within the limit
    with the wanted confidence, the most permissive is taken with which the check on fresh test negatives, in groups
    of the sizes `test`, still passes with 80 % probability; if there is none, the strictest.
    """
    sizes = Sizes.of(codes)
    thresholds, sums = _strictest_first(negatives, codes)
    above, _, squares, products = sums
    by_effect, by_group = effective_counts(sizes, *sums)
    smaller = at_most(*by_group, limits.max_fpr) < at_most(*by_effect, limits.max_fpr)
    counted, effective = np.where(smaller, by_group, by_effect)
    effects = upper_design_effect(sizes, above, squares, products)
    chances = violations(sizes, sums, limits.max_fpr)
    broken = chances > limits.alpha
    accepted = int(np.argmax(broken)) if broken.any() else len(broken)

    def power(index: int) -> float:
        """Return the chance to pass the test split's check, in the likelier of its two ways of counting.

        The test's design effect is foretold from the correlation seen on calibration.
        """
        counts = float(counted[index]), float(effective[index])
        rate = float((above[index] + 1) / (sizes.screenshots + 1))
        effect = test.expected_design_effect(rate, sizes.correlation(float(effects[index])))
        trials = int(test.screenshots / effect)
        provable = errors_allowed(trials, limits.max_fpr, limits.confidence)
        likely = pass_probability(*counts, trials, provable)
        provable = min(errors_allowed(test.groups, limits.max_fpr, limits.confidence), FEW)
        return max(likely, pass_probability(*counts, test.groups, provable)) if provable >= 0 else likely

    # The fewer errors above, the more power: the last candidate that has enough is found by bisection.
    low, high = 0, max(accepted, 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if power(middle) >= _POWER_WANTED else (low, middle)
    missing = needed(Errors.none(sizes), limits.max_fpr, limits.confidence) if not accepted else Needed()
    return OperatingPoint(
        threshold=float(thresholds[low]),
        allowed=int(above[low]),
        calibration=len(negatives),
        violation=float(chances[low]),
        power=power(low),
        missing=missing.screenshots,
        groups=sizes.groups,
        effective=float(effective[low]),
        missing_groups=missing.groups,
    )


def _strictest_first(negatives: Scores, codes: Codes) -> tuple[Scores, tuple[Floats, Floats, Floats, Floats]]:
    """Return the distinct scores as thresholds, from the strictest down, and the sums of `Errors` above each: [k]."""
    order = np.argsort(-negatives, kind="stable")
    scores, groups = negatives[order], codes[order]
    # As one score after the other comes to lie above the threshold.
    earlier = _earlier(groups)
    erring = np.concatenate([[0.0], np.cumsum(earlier == 0)[:-1]])
    squares = np.concatenate([[0.0], np.cumsum(2 * earlier + 1)[:-1]])
    products = np.concatenate([[0.0], np.cumsum(np.bincount(codes)[groups])[:-1]])
    first = np.flatnonzero(np.concatenate([[True], np.diff(scores) < 0]))
    return scores[first], (first.astype(np.float64), erring[first], squares[first], products[first])


def _earlier(groups: Codes) -> npt.NDArray[np.int64]:
    """Return for each of [n] how many before it are of the same group."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(ordered) != 0]))
    lengths = np.diff(np.append(starts, len(ordered)))
    out = np.empty(len(groups), dtype=np.int64)
    out[order] = np.arange(len(groups)) - np.repeat(starts, lengths)
    return out
