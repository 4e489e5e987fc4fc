"""The two classes of a binary label, and every way a labelled file may spell them."""

from dataclasses import dataclass
from typing import Any, Self

from steps.core.common.errors import UserError

AUTO = "auto"
_WORDS = {"true": 1, "false": 0}


class LabelError(ValueError):
    """A label that is not one of the classes; `reason` is the code of its row in quarantine."""

    reason = "label"


@dataclass(frozen=True, slots=True)
class Classes:
    """Names of the classes; index 0 is the negative one, index 1 the positive one.

    `given` names are binding: another class name is refused. Otherwise numbers decide, and names that the data give
    to them are only reported.
    """

    negative: str = "negative"
    positive: str = "positive"
    given: bool = True

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `"negative,positive"`, or `"auto"`; raises UserError unless it is two different names."""
        if text == AUTO:
            return cls(given=False)
        names = [name.strip() for name in text.split(",")]
        if len(names) != len(("negative", "positive")) or not all(names) or names[0] == names[1]:
            raise UserError(f"classes {text!r}: two different names are wanted, as in 'negative,positive'")
        if numbers := [name for name in names if _number(name) is not None]:
            raise UserError(f"classes {text!r}: {numbers[0]!r} is a number or a truth value, a name is wanted")
        return cls(names[0], names[1])

    def index(self, value: Any) -> int:
        """Return 0 or 1 for a label given as 0/1, true/false or a class name; raises LabelError."""
        if isinstance(value, str):
            text = value.strip()
            if text in (self.negative, self.positive):
                return int(text == self.positive)
            # Python's float() also takes "0_1" and the digits of other scripts, which no table means as 0 or 1.
            number: Any = _number(text) if text.isascii() and "_" not in text else None
        else:
            number = value
        if isinstance(number, bool | int | float) and number in (0, 1):
            return int(number)
        raise LabelError(f"label {_shown(value)} is none of 0, 1, {self.negative!r}, {self.positive!r}")

    def named_index(self, name: str, number: Any) -> int:
        """Return 0 or 1 for a label that has a class name and a number, as Ground Truth gives both.

        Ground Truth numbers the categories in the order of the labelling job, so a binding name goes before it.
        """
        if self.given or name in (self.negative, self.positive):
            if name not in (self.negative, self.positive):
                raise LabelError(f"class name {name[:80]!r} is neither {self.negative!r} nor {self.positive!r}")
            return int(name == self.positive)
        return self.index(number)


def _shown(value: Any) -> str:
    # Python refuses to print integers of thousands of digits, and lists that nest as deep as its stack.
    if isinstance(value, int) and abs(value) >= 10**80:
        return "of many digits"
    scalar = value is None or isinstance(value, str | int | float)
    return repr(str(value)[:80]) if scalar else f"({type(value).__name__})"


def _number(text: str) -> float | None:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return float(text)
    except ValueError:
        return None
