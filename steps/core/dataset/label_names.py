"""The names and numbers of a file's labels, held against each other: whatever could turn labels round stops the file.

Ground Truth numbers the classes in the order of a job's categories, Rekognition gives every class the number 1, and
tables write 1 and 2. What a single row has wrong costs that row; what the file as a whole means is never guessed.
"""

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from steps.core.common.errors import UserError
from steps.core.common.text import printable
from steps.core.dataset.classes import Classes, LabelError, as_option, folded, number_of
from steps.core.dataset.label_files import EncodingError, RowError

# A file with such a share of labels that nobody knows, and not just one, is another one than it is taken for.
_SHARE, _LEAST = 0.05, 2
_MOST_NAMES, _SHOWN = 1_000, 6
_SCALARS = (str, int, float)


class LabelNamesError(UserError):
    """Class names of which only a person can tell which is the positive one; `names` are two of them, or none."""

    def __init__(self, sentence: str, names: Sequence[str] = ()) -> None:
        super().__init__(sentence)
        self.names = tuple(names)


class UnclearLabelError(LabelError):
    """A row with labels of which none is the one that counts."""


class LabelNames:
    """What the rows of a file call their labels, noted while they are read; `check` settles it at the end.

    `where` is the file as a person knows it, `is_table` says that its numbers are a person's, and not a job's. With
    `one_sided` the rows may well be of one class, as reviewers' decisions are.
    """

    def __init__(self, where: str, classes: Classes, *, is_table: bool = False, one_sided: bool = False) -> None:
        self._where, self._classes, self._is_table, self._one_sided = where, classes, is_table, one_sided
        # By attribute, class name (None where there is none) and number: the class, and in how many rows.
        self._labels: dict[tuple[str, str | None, Any], list[int]] = {}
        self._unknown: Counter[str] = Counter()
        self._unclear: Counter[str] = Counter()
        self._undecoded, self._too_many = 0, False

    def index(self, label: Any, name: str | None = None, attribute: str = "") -> int:
        """Return 0 or 1 for a label, by the class name beside it if there is one, and note it; raises LabelError."""
        key = (attribute, name, label if isinstance(label, _SCALARS) else None)
        noted = self._labels.get(key)
        if noted is None:
            noted = [self._classes.index(label) if name is None else self._classes.named_index(name), 0]
            self._too_many = self._too_many or len(self._labels) >= _MOST_NAMES
            if not self._too_many:
                self._labels[key] = noted
        noted[1] += 1
        return noted[0]

    def refuse(self, error: LabelError | RowError) -> None:
        """Note a row that is refused."""
        if isinstance(error, UnclearLabelError):
            self._unclear[str(error)] += 1
        elif isinstance(error, RowError):
            self._undecoded += isinstance(error, EncodingError)
        elif error.value is not None:
            is_new = error.value not in self._unknown and len(self._unknown) >= _MOST_NAMES
            self._unknown["(others)" if is_new else error.value] += 1

    def check(self) -> None:
        """Raise LabelNamesError if names and numbers contradict each other, or too many labels are of no known class.

        Labels that are none of the two *given* names are left to the quarantine, as long as both classes have rows.
        """
        if self._undecoded >= _LEAST:
            raise UserError(
                f"{self._where}: {_rows(self._undecoded)} are no text in UTF-8, but perhaps in CP1252 or Latin-1: save "
                "the file as UTF-8, in Excel as `CSV UTF-8`"
            )
        if self._too_many:
            raise LabelNamesError(f"{self._where}: the labels have more than {_MOST_NAMES:,} different forms")
        usable: Counter[int] = Counter()
        for side, count in self._labels.values():
            usable[side] += count
        empty = [name for side, name in enumerate(self._sides) if not usable[side]]
        empty = [] if self._one_sided and len(empty) == 1 else empty
        excused = self._classes.given and not empty
        unknown = sum(n for value, n in self._unknown.items() if not excused or number_of(value) is not None)
        unclear = self._unclear.total()
        share = _SHARE * (usable.total() + self._unknown.total() + unclear)
        least = max(1, min(_LEAST, share)) if empty else max(_LEAST, share)
        if unclear and unclear >= least:
            raise UserError(f"{self._where}: in {_rows(unclear)} {self._unclear.most_common(1)[0][0]}")
        if unknown and unknown >= least:
            raise self._unknown_labels(empty)
        self._check_one_meaning()
        self._check_numbers()

    @property
    def _sides(self) -> tuple[str, str]:
        return self._classes.negative, self._classes.positive

    def _check_one_meaning(self) -> None:
        """Raise if a class name stands beside both numbers and nothing else tells which of the two is meant."""
        numbers: defaultdict[tuple[str, str], set[float]] = defaultdict(set)
        for attribute, name, label in self._labels:
            if name is None:
                continue
            beside = numbers[attribute, folded(name)]
            if (number := number_of(label)) in (0, 1):
                beside.add(number)
        names = Counter(attribute for attribute, _ in numbers)
        for (attribute, name), values in numbers.items():
            if len(values) > 1 and (self._is_table or names[attribute] == 1):
                alone = "" if self._is_table else ", and no other name is there"
                raise LabelNamesError(
                    f"{self._where}: the class name {_shown(name)} stands beside 0 and beside 1{alone}: which of the "
                    "two is right? Correct the rows, or leave the class name out where the number counts"
                )

    def _check_numbers(self) -> None:
        """Raise if names contradict their numbers, and nobody has said that the names count."""
        turned: Counter[tuple[str, int]] = Counter()
        bare = 0
        for (_, name, label), (side, count) in self._labels.items():
            number = number_of(label)
            if name is None:
                bare += count if number is not None else 0
            elif number == 1 - side:
                turned[name, 1 - side] += count
        if not turned or (self._classes.given and not bare):
            return
        seen = " and ".join(f"{_shown(name)} beside {number} ({_rows(n)})" for (name, number), n in turned.items())
        if self._classes.given:
            raise LabelNamesError(
                f"{self._where}: there stands {seen}, and {_rows(bare)} with a number but no class name: of "
                "those nobody knows what the number means; give each row its class name"
            )
        ordered = [next((name for name, n in turned if n == 1 - side), own) for side, own in enumerate(self._sides)]
        raise LabelNamesError(
            f"{self._where}: the numbers contradict the names: there stands {seen}. Labelling jobs number their "
            f"categories in the job's order; say that the names count: {_option(ordered)}",
            ordered,
        )

    def _unknown_labels(self, empty: Sequence[str]) -> LabelNamesError:
        called: Counter[str] = Counter()
        for (_, name, label), (side, count) in self._labels.items():
            called[name or (str(label) if number_of(label) is None else str(side))] += count
        called.update(self._unknown)
        counts: Counter[str] = Counter()
        spelt: dict[str, str] = {}
        for value, count in called.items():
            counts[spelt.setdefault(folded(value), value)] += count
        counted = ", ".join(f"{_shown(value)} ({_rows(n)})" for value, n in counts.most_common(_SHOWN))
        more = f" and {len(counts) - _SHOWN:,} other names" if len(counts) > _SHOWN else ""
        none = f"; none is {_shown(empty[0])}" if len(empty) == 1 and self._classes.given else ""
        names = [value for value in counts if number_of(value) is None]
        cure, two = self._cure(names)
        return LabelNamesError(f"{self._where}: the labels are {counted}{more}{none}. {cure}", two)

    def _cure(self, names: Sequence[str]) -> tuple[str, Sequence[str]]:
        """Return the sentence that says what to do, and the two names if there are just two."""
        if not names:
            return (
                "0 is the negative class and 1 the positive one; which of these numbers is which is never guessed: "
                "write 0 and 1 instead, or names, and tell the names with `--classes NEGATIVE,POSITIVE`"
            ), ()
        if len(names) != len(self._sides):
            return (
                "Only 0, 1 and the names of the two classes are known: tell them with `--classes NEGATIVE,POSITIVE`. "
                "Rows with other labels then stay out"
            ), ()
        return choose(names, self._classes), names


def choose(names: Sequence[str], classes: Classes) -> str:
    """Return the sentence that tells how to say which of two names is the positive class."""
    first, second = names
    sides = classes.side(first), classes.side(second)
    if sides[0] == 1 or sides[1] == 0:
        return f"If those are the classes: {_option((second, first))}"
    if sides[0] == 0 or sides[1] == 1:
        return f"If those are the classes: {_option((first, second))}"
    return (
        f"Say which is the positive class, which the model has to find: {_option((first, second))} if it is "
        f"{_shown(second)}, {_option((second, first))} if it is {_shown(first)}"
    )


def _option(names: Iterable[str]) -> str:
    return f"`--classes {shlex.quote(as_option(printable(name, 80) for name in names))}`"


def _shown(value: str) -> str:
    return repr(printable(value, 80))


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
