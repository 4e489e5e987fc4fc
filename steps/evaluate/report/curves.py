"""The rates of every threshold on the test split, thinned to as many stops as a slider needs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_STOPS = 400

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Stops by rising threshold, `score > threshold` being flagged: how many of each class lie above each of them.

    frozen: the place of the threshold that the gate judged, None if it had none.
    """

    thresholds: Floats
    false_positives: npt.NDArray[np.int64]
    true_positives: npt.NDArray[np.int64]
    negatives: int
    positives: int
    frozen: int | None

    @property
    def fpr(self) -> Floats:
        return self.false_positives / self.negatives

    @property
    def tpr(self) -> Floats:
        return self.true_positives / self.positives


def curve(
    scores: Floats, labels: npt.NDArray[np.int64], frozen: float | None = None, *, stops: int = _STOPS
) -> Curve | None:
    """Return the curve of screenshots' scores, 0 to 1; None if a class is missing or a score is not a number.

    Of many thresholds those are kept that lie evenly along the DET curve, so that small rates keep their detail; the
    frozen one is always there as it is.
    """
    negatives, positives = np.sort(scores[labels == 0]), np.sort(scores[labels == 1])
    if not len(negatives) or not len(positives) or not np.isfinite(scores).all():
        return None
    thresholds = np.unique(np.append(scores, 0.0))
    thresholds = thresholds[_evenly(negatives, positives, thresholds, stops)]
    if frozen is not None:
        thresholds = np.unique(np.append(thresholds, frozen))
    return Curve(
        thresholds,
        _above(negatives, thresholds),
        _above(positives, thresholds),
        len(negatives),
        len(positives),
        None if frozen is None else int(np.searchsorted(thresholds, frozen)),
    )


def deviate(rate: float | Floats, trials: int) -> Floats:
    """Return the normal deviate of rates measured on `trials`; 0 and 1 are taken for half a count, to be finite."""
    from scipy.special import ndtri

    half = 0.5 / trials
    return np.asarray(ndtri(np.clip(rate, half, 1 - half)), dtype=np.float64)


def _above(ordered: Floats, thresholds: Floats) -> npt.NDArray[np.int64]:
    return len(ordered) - np.searchsorted(ordered, thresholds, side="right").astype(np.int64)


def _evenly(negatives: Floats, positives: Floats, thresholds: Floats, stops: int) -> npt.NDArray[np.int64]:
    """Return the places of at most `stops` thresholds about equally far apart on the DET curve, both ends included."""
    if len(thresholds) <= stops:
        return np.arange(len(thresholds))
    sides = [deviate(_above(side, thresholds) / len(side), len(side)) for side in (negatives, positives)]
    along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(sides)).sum(axis=0))])
    places = np.searchsorted(along, np.linspace(0, along[-1], stops)).clip(0, len(along) - 1)
    # Where the curve does not move towards its end, the end is still one.
    places[-1] = len(along) - 1
    return np.unique(places)
