"""The hyperparameters of training: names, types, bounds and defaults in one place."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from steps.core.common.choices import BACKBONES
from steps.core.common.errors import UserError


def _one_of(choices: tuple[str, ...], default: str) -> Any:
    return field(default=default, metadata={"choices": choices})


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
    only wants to know what phase 2 is worth, does without.
    """

    backbone: str = _one_of(BACKBONES, "small")
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
            target = known[name]
            values[target.name] = _parse_value(name, str(raw), type(target.default), target.metadata)
        return cls(**values)

    def to_dict(self) -> dict[str, str | int | float]:
        return {f.name.replace("_", "-"): getattr(self, f.name) for f in fields(self)}


def _parse_value(name: str, raw: str, kind: type, metadata: Mapping[str, Any]) -> Any:
    if kind is str:
        return _parse_choice(name, raw.strip(), metadata)
    try:
        number = float(raw)
    except ValueError:
        number = math.nan
    if math.isnan(number) or (kind is int and not number.is_integer()):
        raise UserError(f"hyperparameter {name}={raw!r}: {'a whole' if kind is int else 'a'} number is wanted")
    low, high = metadata["bounds"]
    if not low <= number <= high:
        raise UserError(f"hyperparameter {name}={raw}: a number from {low:g} to {high:g} is wanted")
    return kind(number)


def _parse_choice(name: str, raw: str, metadata: Mapping[str, Any]) -> str:
    known = metadata["choices"]
    if raw not in known:
        raise UserError(f"hyperparameter {name}={raw!r}: one of {', '.join(known)} is wanted")
    return raw
