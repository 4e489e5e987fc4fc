"""Exact binomial statistics of error rates. Rates are 0 to 1; a confidence of 0.95 is one-sided 95 %."""

from scipy import stats


def clopper_pearson(errors: int, trials: int, confidence: float) -> tuple[float, float]:
    """Return the one-sided lower and the one-sided upper bound of a rate, each at `confidence`.

    Clopper and Pearson (1934), by beta quantiles. With no trials nothing is known: 0 and 1. Raises ValueError
    unless 0 <= errors <= trials and confidence is between 0 and 1.
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
    low, high = errors, errors + 1
    while clopper_pearson(errors, high, confidence)[1] > limit:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if clopper_pearson(errors, middle, confidence)[1] > limit:
            low = middle
        else:
            high = middle
    return high


def errors_allowed(trials: int, limit: float, confidence: float) -> int:
    """Return the most errors in `trials` that still prove a rate of at most `limit`, or -1 if not even none do."""
    if clopper_pearson(0, trials, confidence)[1] > limit:
        return -1
    low, high = 0, trials
    while high - low > 1:
        middle = (low + high) // 2
        if clopper_pearson(middle, trials, confidence)[1] > limit:
            high = middle
        else:
            low = middle
    return low


def violation_probability(allowed: int, calibration: int, limit: float) -> float:
    """Return the chance that a threshold at an order statistic has a true rate above `limit`.

    The threshold lies at the (allowed + 1)-th largest of `calibration` scores of negatives, and larger scores are
    positive; the chance is P(Binomial(calibration, limit) <= allowed), the Neyman-Pearson umbrella bound (Tong, Feng
    and Li 2018, Proposition 1), and an upper bound where scores tie.
    """
    return float(stats.binom.cdf(allowed, calibration, limit))


def pass_probability(allowed: int, calibration: int, trials: int, errors: int) -> float:
    """Return the chance that at most `errors` of `trials` new negatives lie above such a threshold.

    The true rate is Beta(allowed + 1, calibration - allowed), so the errors are beta-binomial.
    """
    if errors < 0:
        return 0.0
    return float(stats.betabinom.cdf(errors, trials, allowed + 1, calibration - allowed))
