"""The ROC curve of a ranking of screenshots, and the rates and areas read off it."""

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
# The false-positive rates that a ranking is compared by.
PARTIAL_AUC_BELOW = 0.1


def tpr_at_fpr(scores: Scores, labels: npt.NDArray[np.integer], fpr: float) -> float:
    """Return the largest TPR whose empirical FPR is at most `fpr`, deciding `score > threshold`; 0 to 1.

    Ties are counted against the model: a positive that ties with the first refused negative is not found. Returns
    NaN unless both classes are there and every score is a number.
    """
    negatives, positives = scores[labels == 0], scores[labels == 1]
    if not len(negatives) or not len(positives) or np.isnan(scores).any():
        return float("nan")
    allowed = int(np.floor(fpr * len(negatives) + 1e-9))
    if allowed >= len(negatives):
        return 1.0
    threshold = np.sort(negatives)[::-1][allowed]
    return float(np.mean(positives > threshold))


def roc(scores: Scores, labels: npt.NDArray[np.integer]) -> tuple[Scores, Scores]:
    """Return the false- and the true-positive rates at every distinct threshold, from (0, 0) to (1, 1).

    Both classes must be there, and no score NaN.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true = np.cumsum(labels[order] == 1)[last] / (labels == 1).sum()
    false = np.cumsum(labels[order] == 0)[last] / (labels == 0).sum()
    return np.concatenate([[0.0], false]), np.concatenate([[0.0], true])


def partial_auc(scores: Scores, labels: npt.NDArray[np.integer], max_fpr: float) -> float:
    """Return the mean TPR over the false-positive rates from 0 to `max_fpr` (0 to 1): the area divided by `max_fpr`.

    1 is perfect and `max_fpr / 2` is chance (not McClish's rescaling, in which chance is 0.5). NaN unless both classes
    are there and every score is a number.
    """
    if not (labels == 0).any() or not (labels == 1).any() or not np.isfinite(scores).all():
        return float("nan")
    false, true = roc(scores, labels)
    # The last of several points with one false rate: the curve rises there at once.
    edge = np.interp(max_fpr, false, true)
    inside = false < max_fpr
    area = np.trapezoid(np.append(true[inside], edge), np.append(false[inside], max_fpr))
    return float(area / max_fpr)
