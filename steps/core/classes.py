"""The two classes of a binary label, and every way a labelled file may spell them."""

import math
from dataclasses import dataclass
from typing import Any, Self

from steps.core.errors import UserError


class LabelError(ValueError):
    """A label that is not one of the classes."""


@dataclass(frozen=True, slots=True)
class Classes:
    """Names of the classes; index 0 is the negative one, index 1 the positive one."""

    negative: str = "negative"
    positive: str = "positive"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `"negative,positive"`; raises UserError unless it is two different names."""
        names = [name.strip() for name in text.split(",")]
        if len(names) != len(("negative", "positive")) or not all(names) or names[0] == names[1]:
            raise UserError(f"classes {text!r}: two different names are wanted, as in 'negative,positive'")
        return cls(*names)

    def index(self, value: Any) -> int:
        """Return 0 or 1 for a label given as 0/1, true/false or a class name; raises LabelError."""
        if isinstance(value, str):
            text = value.strip()
            if text in (self.negative, self.positive):
                return int(text == self.positive)
            try:
                value = {"true": 1.0, "false": 0.0}[text.lower()] if text.isalpha() else float(text)
            except (KeyError, ValueError):
                raise LabelError(self._wanted(value)) from None
        if isinstance(value, bool | int | float) and not math.isnan(value) and value in (0, 1):
            return int(value)
        raise LabelError(self._wanted(value))

    def _wanted(self, value: Any) -> str:
        return f"label {str(value)[:80]!r} is none of 0, 1, {self.negative!r}, {self.positive!r}"
