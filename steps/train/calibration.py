"""Scores that can be read as probabilities: two numbers between a model's logits and its scores."""

import numpy as np
import numpy.typing as npt
from scipy import optimize
from scipy.special import expit, log_expit

_MIN_SCALE, _MAX_SCALE = 0.05, 5.0


def fit_calibration(logits: npt.NDArray[np.float64], labels: npt.NDArray[np.integer]) -> tuple[float, float]:
    """Fit score = sigmoid(scale logit + offset) to labels, 0 or 1, by likelihood; logits are float64 [n].

    Platt's method (1999) with his targets (n+ + 1) / (n+ + 2) and 1 / (n- + 2), which keep a separable sample from
    sending the scale to infinity. The scale stays within 0.05 and 5: a score must rise with its logit. Without both
    classes, or with a logit that is no number, nothing is known: 1 and 0.
    """
    positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
    if not positives or not negatives or not np.isfinite(logits).all():
        return 1.0, 0.0
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(point: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        scale, offset = np.exp(point[0]), point[1]
        scaled = scale * logits + offset
        value = -np.sum(targets * log_expit(scaled) + (1 - targets) * log_expit(-scaled))
        slope = expit(scaled) - targets
        return float(value), np.array([np.sum(slope * logits) * scale, np.sum(slope)])

    bounds = [(np.log(_MIN_SCALE), np.log(_MAX_SCALE)), (-50.0, 50.0)]
    found = optimize.minimize(loss, np.zeros(2), jac=True, bounds=bounds, method="L-BFGS-B")
    return float(np.exp(found.x[0])), float(found.x[1])
