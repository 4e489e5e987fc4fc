"""What training can be told: names, types, bounds and defaults in one place."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from steps.core.errors import UserError


def _between(default: Any, low: float, high: float) -> Any:
    return field(default=default, metadata={"bounds": (low, high)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """The original recipe's two phases. On the wire names have dashes and values are strings, as SageMaker sends them.

    Phase 1 trains the head alone on a frozen backbone (skipped with 0 epochs); phase 2 fine-tunes every layer from
    `fine_tune_layer` on (0 is all of them). Training stops when `patience` epochs brought no better TPR at
    `objective_fpr` on the validation screenshots.
    """

    backbone: str = "small"
    batch_size: int = _between(32, 1, 4096)
    head_epochs: int = _between(30, 0, 1000)
    head_learning_rate: float = _between(1e-3, 1e-7, 1)
    fine_tune_epochs: int = _between(10, 0, 1000)
    fine_tune_learning_rate: float = _between(1e-4, 1e-7, 1)
    fine_tune_layer: int = _between(0, 0, 1000)
    dropout: float = _between(0.2, 0, 0.9)
    negative_weight: float = _between(1.0, 1e-3, 1e3)
    positive_weight: float = _between(1.0, 1e-3, 1e3)
    patience: int = _between(3, 1, 1000)
    objective_fpr: float = _between(0.05, 0, 0.5)
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
            target = known[name]
            values[target.name] = _parse_value(name, str(raw), type(target.default), target.metadata.get("bounds"))
        return cls(**values)

    def to_dict(self) -> dict[str, str | int | float]:
        return {f.name.replace("_", "-"): getattr(self, f.name) for f in fields(self)}


def _parse_value(name: str, raw: str, kind: type, bounds: tuple[float, float] | None) -> Any:
    if kind is str:
        return raw
    try:
        number = float(raw)
    except ValueError:
        number = math.nan
    if math.isnan(number) or (kind is int and not number.is_integer()):
        raise UserError(f"hyperparameter {name}={raw!r}: {'a whole' if kind is int else 'a'} number is wanted")
    if bounds and not bounds[0] <= number <= bounds[1]:
        raise UserError(f"hyperparameter {name}={raw}: a number from {bounds[0]:g} to {bounds[1]:g} is wanted")
    return kind(number)
