"""Every rule that labelled data have to pass, declared once: what it asks, how severe it is, where its limit lies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """A note is for a person to read; a quarantined row is kept out; a stop ends the run before it trains."""

    NOTE = "note"
    QUARANTINE = "quarantine"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Rule:
    """`limit` is the number that the rule compares with, None where it is all or nothing."""

    name: str
    severity: Severity
    title: str
    limit: float | None = None
    unit: str = ""

    @property
    def shown_limit(self) -> str:
        """Return the limit as people read it, in the unit of what is measured; "" where anything at all is too much."""
        if not self.limit:
            return ""
        return f"{100 * self.limit:g}%" if self.unit == "%" else f"{self.unit} {self.limit:g}".strip()


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a rule: `measured` the number as people read it, `text` the sentences, `ids` the worst first."""

    rule: Rule
    fired: bool
    measured: str
    text: str
    ids: Sequence[str] = field(default_factory=tuple)


_Q, _N, _S = Severity.QUARANTINE, Severity.NOTE, Severity.STOP

_RULES = (
    # Rows, before any image is opened.
    Rule("manifest-line", _Q, "Rows that are no rows"),
    Rule("label", _Q, "Labels that are none of the classes"),
    Rule("formula", _Q, "Cells that a spreadsheet would run"),
    Rule("schema", _Q, "Columns with impossible values"),
    Rule("path", _Q, "Paths that leave the batch"),
    Rule("missing-file", _Q, "Rows without their file"),
    # Images.
    Rule("image", _Q, "Files that are no usable image"),
    Rule("checksum", _Q, "Files that are not the bytes they are said to be"),
    # Screenshots against each other.
    Rule("duplicate", _Q, "The same bytes again"),
    Rule("superseded", _Q, "Labels that a reviewer overruled"),
    Rule("label-conflict", _Q, "The same bytes with contradicting labels"),
    Rule("near-conflict", _Q, "Nearly the same picture with contradicting labels"),
    Rule("split-leak", _Q, "Nearly the same picture as one in another split"),
    Rule("labeller", _Q, "Labellers who contradict the others", limit=0.8, unit="%"),
    Rule("unknown-id", _Q, "Decisions about screenshots that are not there"),
    Rule("replaced", _Q, "Refused rows that were mended in a later batch"),
    # The set as a whole.
    Rule("both-classes", _S, "A class without a screenshot", limit=1),
    Rule("split-classes", _S, "A split without a class", limit=1),
    Rule("no-leakage", _S, "Splits that share an app or a picture", limit=0),
    Rule("label-changes", _S, "Labels changed since the last snapshot", limit=0.02, unit="%"),
    Rule("quarantined-share", _S, "New rows that had to be quarantined", limit=0.5, unit="%"),
    # What a person should know first comes first.
    Rule("drift-champion", _N, "New data are unlike the champion's", limit=0.2),
    Rule("drift-reference", _N, "Data are unlike what phones in production show", limit=0.2),
    Rule("pure-value", _N, "Values that occur with one label only", limit=0.05, unit="%"),
    Rule("shortcut-size", _N, "Size and orientation alone predict the label", limit=0.6, unit="AUC"),
    Rule("shortcut-colour", _N, "Colour and brightness alone predict the label", limit=0.7, unit="AUC"),
    Rule("shortcut-file", _N, "Format and file size alone predict the label", limit=0.6, unit="AUC"),
    Rule("not-phone", _N, "Pictures that are hardly phone screenshots", limit=0),
    Rule("class-balance", _N, "A class that is rare", limit=0.1, unit="%"),
    Rule("split-balance", _N, "Splits that differ in their share of positives", limit=0.15, unit="%"),
    Rule("split-groups", _N, "Splits with few independent groups", limit=30),
    Rule("dominant-group", _N, "One group with a large share", limit=0.05, unit="%"),
    Rule("ungrouped", _N, "Screenshots of unknown origin", limit=0),
    Rule("near-duplicates", _N, "Nearly the same picture with the same label", limit=0),
    Rule("dark", _N, "Dark pictures", limit=0),
    Rule("blurry", _N, "Blurry pictures", limit=0),
    Rule("low-information", _N, "Pictures that show next to nothing", limit=0),
    Rule("unused-files", _N, "Files that no usable row names", limit=0),
)

RULES: Mapping[str, Rule] = {rule.name: rule for rule in _RULES}
