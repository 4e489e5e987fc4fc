"""A rule that labelled data have to pass: one object that holds everything that is said and done about it."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from steps.validate.subject import Subject

WHO = "--by NAME --reason TEXT"


class Severity(StrEnum):
    """A note is for a person to read; a quarantined row is kept out; a stop ends the run before it trains."""

    NOTE = "note"
    QUARANTINE = "quarantine"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Remedy:
    """What mends a refused row: `text` in a sentence, `means` the command for it, if one is made for the row.

    decide: a person settles the label. readmit: the row comes back corrected, with `options`. Data that were named with
    `--data` lie in no batch of the catalogue: their folder itself is to be mended.
    """

    text: str
    means: Literal["decide", "readmit", ""] = ""
    options: str = ""

    def command(self, place: str, sha256: str, classes: tuple[str, str]) -> str:
        """Return what to type for the row `place` (batch:row) of a screenshot, "" where nothing is to be typed."""
        if self.means == "decide" and sha256:
            return decision(sha256, "|".join(classes))
        if self.means == "readmit":
            return " ".join(filter(None, ["tilegate data readmit", place, self.options, WHO]))
        return ""


def decision(sha256: str, label: str) -> str:
    """Return what to type to settle the label of a screenshot."""
    return f"tilegate data decide {sha256[:12]} {shlex.quote(label)} {WHO}"


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

    Rules that quarantine rows, and no others, have a `remedy`; `harmless` rows say nothing against their batch. Raises
    ValueError, as soon as it is imported, if the parts do not fit together.
    """

    name: str
    severity: Severity
    title: str
    check: Check
    limit: float = 0.0
    unit: str = ""
    remedy: Remedy | None = None
    harmless: bool = False

    def __post_init__(self) -> None:
        if (self.severity is Severity.QUARANTINE) != (self.remedy is not None):
            raise ValueError(f"the rule {self.name!r}: a remedy is wanted where rows are quarantined, and only there")

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

    def rule(self, name: str, title: str, *, limit: float = 0.0, unit: str = "") -> Callable[[Check], Rule]:
        """Make a rule of the check that is decorated, and take it in."""

        def declare(check: Check) -> Rule:
            self.rules.append(Rule(name, self.severity, title, check, limit, unit))
            return self.rules[-1]

        return declare


def counted(count: int, noun: str) -> str:
    """Return a count as people read it: "1 row", "1,200 rows", "2 batches"."""
    return f"{count:,} {noun}{'' if count == 1 else 'es' if noun.endswith('ch') else 's'}"
