"""The hyperparameters of training with their bounds and defaults, and which of them a tuning searches."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from steps.core.common.choices import BACKBONES
from steps.core.common.errors import UserError

LINEAR, LOGARITHMIC = "Linear", "Logarithmic"
_FIRST_BLOCKS = 2


def _between(default: Any, low: float, high: float) -> Any:
    return field(default=default, metadata={"bounds": (low, high)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """Two phases of training. On the wire names have dashes and values are strings, as SageMaker sends them.

    Phase 1 solves for the head on the frozen backbone's features. Phase 2 fine-tunes the last `fine_tune_blocks` blocks
    with it (0: none), for at most `fine_tune_epochs` epochs along half a cosine from `fine_tune_learning_rate` down to
    nothing, on batches of `batch_size` whole screenshots that are altered as strongly as `augment` says
    (`steps.train.augmentation`, 0 is not at all).

    With `refit` what is learned in the end is learned from all development screenshots; a trial of the tuning, which
    only measures what phase 2 adds, does without.
    """

    backbone: str = "small"
    batch_size: int = _between(16, 1, 4096)
    fine_tune_blocks: int = _between(0, 0, 17)
    fine_tune_epochs: int = _between(4, 1, 1000)
    fine_tune_learning_rate: float = _between(5e-5, 1e-7, 1)
    augment: float = _between(0.5, 0, 1)
    refit: int = _between(1, 0, 1)
    seed: int = _between(17, 0, 2**31 - 1)

    @classmethod
    def parse(cls, given: Any) -> Self:
        """Read hyperparameters as they arrive; raises UserError for an unknown name or a value out of bounds.

        Names that begin with `_` or `sagemaker_` are the platform's own and are passed over.
        """
        if not isinstance(given, Mapping):
            raise UserError(f"hyperparameters are {type(given).__name__}: an object of names and values is wanted")
        known = {f.name.replace("_", "-"): f for f in fields(cls)}
        values: dict[str, Any] = {}
        for name, raw in given.items():
            if name.startswith(("_", "sagemaker_")):
                continue
            if name not in known:
                raise UserError(f"unknown hyperparameter {name!r}; known are {', '.join(sorted(known))}")
            one, text = known[name], str(raw)
            if one.name == "backbone":
                values[one.name] = _backbone(text.strip())
            else:
                values[one.name] = _number(name, text, type(one.default), one.metadata["bounds"])
        return cls(**values)

    def to_dict(self) -> dict[str, str | int | float]:
        return {f.name.replace("_", "-"): getattr(self, f.name) for f in fields(self)}


def _backbone(text: str) -> str:
    if text not in BACKBONES:
        raise UserError(f"hyperparameter backbone={text!r}: one of {', '.join(BACKBONES)} is wanted")
    return text


def _number(name: str, text: str, kind: type, bounds: tuple[float, float]) -> Any:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number) or (kind is int and not number.is_integer()):
        raise UserError(f"hyperparameter {name}={text!r}: {'a whole' if kind is int else 'a'} number is wanted")
    low, high = bounds
    if not low <= number <= high:
        raise UserError(f"hyperparameter {name}={text}: a number from {low:g} to {high:g} is wanted")
    return kind(number)


@dataclass(frozen=True, slots=True)
class Tuned:
    """One tuned hyperparameter, by its name on the wire; `low` and `high` are both included.

    A search begins at its default, and the best trial's value goes to the training. `scale` is SageMaker's: a
    Logarithmic one searches each decade as thoroughly as the others. A `whole` one tries whole numbers only.
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


# The head's penalty is not in the table: cross-validation finds it within each job, in seconds.
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
