"""The search space of tuning, with ranges and scales: one table for definition, executor and command line.

Each name is a field of `Hyperparameters`, whose default is where a search begins. The best trial's value of every name
goes to the training. The head's penalty is not in the table: cross-validation finds it within each job, in seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from steps.train.hyperparameters import Hyperparameters

LINEAR, LOGARITHMIC = "Linear", "Logarithmic"
_FIRST_BLOCKS = 2


@dataclass(frozen=True, slots=True)
class Tuned:
    """One tuned hyperparameter, by its name on the wire; `low` and `high` are both included.

    `scale` is SageMaker's: a Logarithmic one searches each decade as thoroughly as the others. A `whole` one tries
    whole numbers only.
    """

    name: str
    low: float
    high: float
    scale: str = LINEAR
    whole: bool = False

    @property
    def default(self) -> float:
        return float(getattr(Hyperparameters(), self.name.replace("-", "_")))

    def text(self, low: float, high: float) -> str:
        """Return the default, or the end of the range that is nearest to it, as a job gets it."""
        nearest = min(max(self.default, low), high)
        return str(int(nearest)) if self.whole else repr(nearest)


TUNED = (
    Tuned("fine-tune-blocks", 0, 4, whole=True),
    Tuned("fine-tune-learning-rate", 1e-5, 3e-4, LOGARITHMIC),
    Tuned("augment", 0.0, 1.0),
)


def first_trials(bounds: Mapping[str, tuple[float, float]] | None = None) -> list[dict[str, str]]:
    """Return what a search begins with, as text: the defaults, which are phase 1 alone, and the same with phase 2.

    `bounds` replace those of the table by name.
    """
    moved = bounds or {}
    default = {tuned.name: tuned.text(*moved.get(tuned.name, (tuned.low, tuned.high))) for tuned in TUNED}
    return [default, {**default, "fine-tune-blocks": str(_FIRST_BLOCKS)}]
