"""The two classes of a binary label, and every way a labelled file may spell them."""

import csv
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from steps.core.common.errors import UserError

AUTO = "auto"
PLAIN = ("negative", "positive")
# As spreadsheets write truth values in English, German, French and Spanish.
_WORDS = {"true": 1, "false": 0, "wahr": 1, "falsch": 0, "vrai": 1, "faux": 0, "verdadero": 1, "falso": 0}
_SHOWN_CHARACTERS, _MOST_CHARACTERS = 80, 400


class LabelError(ValueError):
    """A label that is not one of the classes; `reason` is the code of its row in quarantine.

    `value` is the label as a person reads it, None where the row has none.
    """

    reason = "label"

    def __init__(self, detail: str, value: str | None = None) -> None:
        super().__init__(detail)
        self.value = value


@lru_cache(maxsize=4096)
def folded(name: str) -> str:
    """Return a class name as names are compared: without case and surrounding blanks, accents in one form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).strip()


@dataclass(frozen=True, slots=True)
class Classes:
    """Names of the classes; index 0 is the negative one, index 1 the positive one.

    `given` names are a person's, and go before the numbers of a labelling job, which follow the order of its
    categories. Without them only 0, 1, "negative" and "positive" are known.
    """

    negative: str = PLAIN[0]
    positive: str = PLAIN[1]
    given: bool = True

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `"negative,positive"`, a name with a comma in quotation marks, or `"auto"`; raises UserError."""
        if text == AUTO:
            return cls(given=False)
        names = _split(text)
        if len(names) != len(PLAIN) or not all(names) or folded(names[0]) == folded(names[1]):
            raise UserError(f"classes {text!r}: two different names are wanted, as in 'negative,positive'")
        if numbers := [name for name in names if _number(name) is not None]:
            raise UserError(f"classes {text!r}: {numbers[0]!r} is a number or a truth value, a name is wanted")
        if any(_side(PLAIN[0], PLAIN[1], name) == 1 - side for side, name in enumerate(names)):
            raise UserError(f"classes {text!r}: the negative class comes first, as in 'negative,positive'")
        return cls(names[0], names[1])

    @property
    def text(self) -> str:
        """What `parse` reads."""
        return as_option((self.negative, self.positive)) if self.given else AUTO

    def same_as(self, other: "Classes") -> bool:
        return [*map(folded, (self.negative, self.positive))] == [*map(folded, (other.negative, other.positive))]

    def side(self, name: str) -> int | None:
        """Return 0 or 1 for the name of a class, None for another name."""
        return _side(self.negative, self.positive, name) if len(name) <= _MOST_CHARACTERS else None

    def find(self, value: Any) -> int | None:
        """Return 0 or 1 for a label given as 0/1, true/false or a class name, None for any other."""
        if isinstance(value, str) and (side := self.side(value)) is not None:
            return side
        number = number_of(value)
        return int(number) if number is not None and number in (0, 1) else None

    def index(self, value: Any) -> int:
        """Return what `find` does; raises LabelError instead of None."""
        if (found := self.find(value)) is None:
            names = f"{self.negative!r}, {self.positive!r}"
            raise LabelError(f"label {_shown(value)} is none of 0, 1, {names}", _said(value))
        return found

    def named_index(self, name: str) -> int:
        """Return 0 or 1 for the class name that Ground Truth gives beside a number; raises LabelError."""
        if (side := self.side(name)) is None:
            shown = name[:_SHOWN_CHARACTERS]
            raise LabelError(f"class name {shown!r} is neither {self.negative!r} nor {self.positive!r}", shown)
        return side


def as_option(names: Iterable[str]) -> str:
    """Write class names as `Classes.parse` reads them."""
    quoted = (f'"{name.replace(chr(34), chr(34) * 2)}"' if set(name) & {",", '"'} else name for name in names)
    return ",".join(quoted)


def _split(text: str) -> list[str]:
    try:
        return [name.strip() for row in csv.reader([text], skipinitialspace=True) for name in row]
    except csv.Error:
        return []


def number_of(value: Any) -> float | None:
    """Return the number that a label is, None for any other."""
    number = _number(value) if isinstance(value, str) else value
    return number if isinstance(number, bool | int | float) else None


@lru_cache(maxsize=4096)
def _side(negative: str, positive: str, name: str) -> int | None:
    key = folded(name)
    if key in (folded(negative), PLAIN[0]):
        return 0
    return 1 if key in (folded(positive), PLAIN[1]) else None


def _said(value: Any) -> str | None:
    """Return an unknown label as it is counted, None for no label at all."""
    if value is None or value != value or (isinstance(value, str) and not value.strip()):  # noqa: PLR0124 (NaN)
        return None
    return value.strip()[:_SHOWN_CHARACTERS] if isinstance(value, str) else _shown(value).strip("'")


def _shown(value: Any) -> str:
    # Python refuses to print integers of thousands of digits, and lists that nest as deep as its stack.
    if isinstance(value, int) and abs(value) >= 10**80:
        return "of many digits"
    scalar = value is None or isinstance(value, str | int | float)
    return repr(str(value)[:_SHOWN_CHARACTERS]) if scalar else f"({type(value).__name__})"


def _number(text: str) -> float | None:
    """Read a number or a truth value; where commas are decimal, whole numbers are written as 1,0."""
    text = text.strip()
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    # Python's float() also takes "0_1" and the digits of other scripts, which no table means as 0 or 1.
    if not text.isascii() or "_" in text:
        return None
    try:
        return float(text.removesuffix(",0"))
    except ValueError:
        return None
