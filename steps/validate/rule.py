"""A rule that labelled data have to pass: one object that holds everything that is said and done about it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from steps.validate.remedy import Remedy

if TYPE_CHECKING:
    from steps.validate.subject import Subject


class Severity(StrEnum):
    """A note is for a person to read; a quarantined row is kept out; a stop ends the run before it trains."""

    NOTE = "note"
    QUARANTINE = "quarantine"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of a rule: `measured` is the number as people read it, `text` the sentences, `ids` the worst first.

    `captions` say by id why a screenshot is shown.
    """

    rule: "Rule"
    fired: bool
    measured: str
    text: str
    ids: Sequence[str] = ()
    captions: Mapping[str, str] = field(default_factory=dict)


Check = Callable[["Rule", "Subject"], Finding]


@dataclass(frozen=True, slots=True)
class Rule:
    """`check` holds a set against the rule, `limit` is the number that it compares with, 0 where it is all or nothing.

    gallery: heading and note of the pictures that the page shows of the rule, if it shows any. Only a rule that
    quarantines rows has a `remedy` and `raised_in`, the module that refuses them; `harmless` rows say nothing against
    their batch. Raises ValueError or TypeError, as soon as it is imported, if the parts do not fit together.
    """

    name: str
    severity: Severity
    title: str
    check: Check
    limit: float = 0.0
    unit: str = ""
    gallery: tuple[str, str] | None = None
    remedy: Remedy | None = None
    raised_in: str = ""
    harmless: bool = False

    def __post_init__(self) -> None:
        if not callable(self.check):
            raise TypeError(f"the rule {self.name!r} has no check, and would never fire")
        quarantines = self.severity is Severity.QUARANTINE
        if quarantines and not (self.remedy and self.raised_in):
            raise ValueError(f"the rule {self.name!r} quarantines rows: a remedy, and where it is raised, are wanted")
        if not quarantines and (self.remedy or self.raised_in or self.harmless):
            raise ValueError(f"the rule {self.name!r} quarantines no row: it has no remedy, nor is it raised anywhere")

    @property
    def shown_limit(self) -> str:
        """Return the limit as people read it, in the unit of what is measured; "" where anything at all is too much."""
        if not self.limit:
            return ""
        return f"{100 * self.limit:g}%" if self.unit == "%" else f"{self.unit} {self.limit:g}".strip()


class Chapter:
    """Rules of one severity that stand in one file, in the order in which people see them."""

    def __init__(self, severity: Severity) -> None:
        self.severity = severity
        self.rules: list[Rule] = []

    def rule(
        self, name: str, title: str, *, limit: float = 0.0, unit: str = "", gallery: tuple[str, str] | None = None
    ) -> Callable[[Check], Rule]:
        """Make a rule of the check that is decorated, and take it in."""

        def declare(check: Check) -> Rule:
            self.rules.append(Rule(name, self.severity, title, check, limit, unit, gallery))
            return self.rules[-1]

        return declare


def counted(count: int, noun: str) -> str:
    """Return a count as people read it: "1 row", "1,200 rows", "2 batches"."""
    return f"{count:,} {noun}{'' if count == 1 else 'es' if noun.endswith('ch') else 's'}"
