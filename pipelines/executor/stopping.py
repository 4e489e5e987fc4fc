"""Stopping a training job early: the median rule that SageMaker documents for TrainingJobEarlyStoppingType "Auto".

A job is stopped when a value of the objective is below the median, over the earlier jobs, of their mean up to the
same value. Three things are ours. The earlier jobs are those of completed rounds, so that the same seed stops the same
jobs whatever the timing. The rule waits for four of them, and for a job's second value. And it is silent at the last
value of the longest job: to stop there saves nothing.
"""

import math
import statistics
from collections.abc import Sequence
from itertools import accumulate

OFF, AUTO = "Off", "Auto"
_LEAST_JOBS = 4


class MedianRule:
    """What a job's objective, value by value, has to reach; `curves` are those of the earlier jobs."""

    def __init__(self, curves: Sequence[Sequence[float]]) -> None:
        finite = [[value for value in curve if math.isfinite(value)] for curve in curves]
        known = [curve for curve in finite if curve]
        self._medians = _medians(known) if len(known) >= _LEAST_JOBS else []

    def threshold(self, index: int) -> float | None:
        """Return what the value number `index` must not be worse than, None if any will do."""
        return self._medians[index] if 0 < index < len(self._medians) else None

    def stops_at(self, curve: Sequence[float]) -> int | None:
        """Return the index of the value at which the rule stops a job, None if it does not."""
        for index, value in enumerate(curve):
            threshold = self.threshold(index)
            if threshold is not None and value < threshold:
                return index
        return None


def _medians(curves: Sequence[Sequence[float]]) -> list[float]:
    """Return the medians of the means up to each value but the last; a shorter curve stays at its whole mean."""
    means = [[total / count for count, total in enumerate(accumulate(curve), 1)] for curve in curves]
    longest = max(map(len, curves)) - 1
    return [statistics.median(mean[min(at, len(mean) - 1)] for mean in means) for at in range(longest)]
