"""A measured rate with its bounds, counted in groups."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from steps.core.gate.clustered_errors import Codes, Errors
from steps.core.gate.statistics import clopper_pearson


@dataclass(frozen=True, slots=True)
class Rate:
    """A measured rate and its one-sided bounds.

    The `trials` screenshots of `groups` groups count as `effective` independent ones, `design_effect` times fewer; of
    the two bounds, each with its own, these are the more careful one's.
    """

    count: int
    trials: int
    value: float
    lower: float
    upper: float
    groups: int
    effective: float
    design_effect: float

    @classmethod
    def of(cls, count: int, trials: int, confidence: float) -> "Rate":
        """Return the rate of `count` in `trials` independent screenshots."""
        value = count / trials if trials else float("nan")
        return cls(count, trials, value, *clopper_pearson(count, trials, confidence), trials, float(trials), 1.0)

    @classmethod
    def grouped(cls, hits: npt.NDArray[np.bool_], codes: Codes, confidence: float) -> "Rate":
        """Return the rate of [n] hits, n >= 1, among screenshots in [n] group numbers from 0."""
        above, below = Errors.of(hits, codes), Errors.of(~hits, codes)
        effective = min(above.effective()[1], below.effective()[1])
        return cls(
            count=above.total,
            trials=len(hits),
            value=above.total / len(hits),
            lower=1 - below.upper(confidence) if above.total else 0.0,
            upper=above.upper(confidence),
            groups=above.sizes.groups,
            effective=effective,
            design_effect=len(hits) / effective,
        )


def percent(rate: float) -> str:
    return f"{100 * rate:.3g} %"
