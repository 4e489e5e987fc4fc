"""Exact binomial statistics of error rates. Rates are 0 to 1; a confidence of 0.95 is one-sided 95 %."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats


def percent(rate: float) -> str:
    return f"{100 * rate:.3g} %"


def clopper_pearson(errors: float, trials: float, confidence: float) -> tuple[float, float]:
    """Return the one-sided lower and the one-sided upper bound of a rate, each at `confidence`.

    Clopper and Pearson (1934), by beta quantiles; effective counts need not be whole. With no trials nothing is known:
    0 and 1. Raises ValueError unless 0 <= errors <= trials and confidence is between 0 and 1.
    """
    if not (0 <= errors <= trials and 0 < confidence < 1):
        raise ValueError(f"{errors} errors in {trials} trials at confidence {confidence} make no rate")
    lower = 0.0 if errors == 0 else float(stats.beta.ppf(1 - confidence, errors, trials - errors + 1))
    upper = 1.0 if errors == trials else float(stats.beta.ppf(confidence, errors + 1, trials - errors))
    return lower, upper


def trials_needed(errors: int, limit: float, confidence: float) -> int:
    """Return the least number of trials in which `errors` prove a rate of at most `limit` (0 < limit < 1).

    0 errors need 299 trials to prove 1 % at 95 %, and 2,995 to prove 0.1 %.
    """
    if not 0 < limit < 1:
        raise ValueError(f"a limit of {limit} proves nothing: it must be between 0 and 1")
    least = errors + 1
    return least + fewest(lambda more: clopper_pearson(errors, least + more, confidence)[1] <= limit)


def errors_allowed(trials: int, limit: float, confidence: float) -> int:
    """Return the most errors in `trials` that still prove a rate of at most `limit`, or -1 if not even none do."""
    return fewest(lambda errors: errors >= trials or clopper_pearson(errors, trials, confidence)[1] > limit) - 1


def fewest(enough: Callable[[int], bool]) -> int:
    """Return the least whole number from 0 that is enough, if all beyond it are."""
    if enough(0):
        return 0
    low, high = 0, 1
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def at_most(
    errors: npt.NDArray[np.float64] | float, trials: npt.NDArray[np.float64] | float, rate: float
) -> npt.NDArray[np.float64]:
    """Return P(Binomial(trials, rate) <= errors), for counts that need not be whole (0 <= errors <= trials).

    At most `1 - confidence` exactly where the Clopper-Pearson upper bound is within `rate`.
    """
    left = np.asarray(trials, dtype=np.float64) - errors
    tail = special.betainc(np.maximum(left, 1e-12), np.asarray(errors, dtype=np.float64) + 1, 1 - rate)
    return np.where(left <= 0, 1.0, tail)


def at_least(errors: float, trials: float, rate: float) -> float:
    """Return P(Binomial(trials, rate) >= errors), for counts that need not be whole."""
    return float(special.betainc(errors, trials - errors + 1, rate)) if errors > 0 else 1.0


def pass_probability(allowed: float, calibration: float, trials: int, errors: int) -> float:
    """Return the chance that at most `errors` of `trials` new negatives lie above such a threshold.

    The true rate is Beta(allowed + 1, calibration - allowed), so the errors are beta-binomial. `allowed` and
    `calibration` may be effective counts.
    """
    if errors < 0:
        return 0.0
    return float(stats.betabinom.cdf(errors, trials, allowed + 1, calibration - allowed))


def difference_upper(worse: float, better: float, pairs: float, confidence: float) -> float:
    """Return the one-sided upper bound of P(worse) - P(better), -1 to 1, from paired decisions.

    Of `pairs` pairs, `worse` differ for the worse and `better` for the better (effective counts need not be whole).
    The confidence distributions behind the two Clopper-Pearson bounds are melded (Fay, Proschan and Brittain 2015):
    the bound is a quantile of Beta(worse + 1, pairs - worse) - Beta(better, pairs - better + 1), and with
    `better` = 0 the Clopper-Pearson bound of `worse`. With no pairs nothing is known: 1.
    """
    if worse >= pairs:
        return 1.0
    if better <= 0:
        return clopper_pearson(worse, pairs, confidence)[1]
    middles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    lower = special.betaincinv(better, pairs - better + 1, middles)

    def excess(difference: float) -> float:
        below = special.betainc(worse + 1, pairs - worse, np.clip(difference + lower, 0, 1))
        return float(below.mean()) - confidence

    return float(optimize.brentq(excess, -1, 1, xtol=1e-9))


# Of the lower confidence distribution: with 500 the bound is exact to 0.2 % of its distance from the estimate.
_QUANTILES = 500


def holm(p_values: npt.NDArray[np.float64], alpha: float) -> npt.NDArray[np.bool_]:
    """Return which of [n] hypotheses are rejected, so that a true one is with a chance of at most `alpha` (Holm 1979).

    The tests may depend on each other in any way.
    """
    order = np.argsort(p_values, kind="stable")
    kept = p_values[order] > alpha / np.arange(len(p_values), 0, -1)
    rejected = np.zeros(len(p_values), dtype=np.bool_)
    rejected[order[: int(np.argmax(kept)) if kept.any() else len(kept)]] = True
    return rejected
