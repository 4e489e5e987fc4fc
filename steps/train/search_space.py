"""The search space of tuning, with ranges and scales: one table for definition, executor and command line.

Each name is a field of `Hyperparameters`, whose default is where a search begins. The best trial's value of every name
goes to the training. What is not in the table (the loss, the reducer) is chosen by measurement, not night by night:
each choice would divide the few trials of a night.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from steps.train.hyperparameters import Hyperparameters

LINEAR, LOGARITHMIC = "Linear", "Logarithmic"


@dataclass(frozen=True, slots=True)
class Tuned:
    """One tuned hyperparameter, by its name on the wire; `low` and `high` are both included.

    `scale` is SageMaker's: a Logarithmic one searches each decade as thoroughly as the others.
    """

    name: str
    low: float
    high: float
    scale: str = LINEAR

    @property
    def default(self) -> float:
        return float(getattr(Hyperparameters(), self.name.replace("-", "_")))

    def within(self, low: float, high: float) -> float:
        """Return the default, or the end of the range that is nearest to it."""
        return min(max(self.default, low), high)


TUNED = (
    Tuned("fine-tune-learning-rate", 1e-5, 1e-3, LOGARITHMIC),
    Tuned("dropout", 0.0, 0.6),
    Tuned("label-smoothing", 0.0, 0.2),
    Tuned("weight-decay", 1e-6, 1e-1, LOGARITHMIC),
)


def default_trial(bounds: Mapping[str, tuple[float, float]] | None = None) -> dict[str, str]:
    """Return the defaults as a trial's hyperparameters, as text; `bounds` replace those of the table by name."""
    moved = bounds or {}
    return {tuned.name: repr(tuned.within(*moved.get(tuned.name, (tuned.low, tuned.high)))) for tuned in TUNED}
