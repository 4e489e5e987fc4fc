"""The rules that keep a row out, each with what mends the row; the module that refuses it raises the rule's name."""

from typing import TYPE_CHECKING

from steps.validate.label_agreement import AGREEMENT_LIMIT
from steps.validate.rule import Finding, Remedy, Rule, Severity, counted

if TYPE_CHECKING:
    from steps.validate.subject import Subject


def _refused(rule: Rule, subject: "Subject") -> Finding:
    """Count the rows that were refused by the rule's name, with what was said where they were refused."""
    rows = [row for row in subject.validation.quarantined if row.reason == rule.name]
    measured = counted(len(rows), "row")
    if not rows:
        return Finding(rule, False, measured, "No row.")
    text = f"{measured} kept out. First: row {rows[0].row} of {rows[0].batch}: {rows[0].detail}."
    return Finding(rule, True, measured, text, tuple(dict.fromkeys(row.sha256 for row in rows if row.sha256)))


def _rule(name: str, title: str, remedy: Remedy, *, limit: float = 0.0, unit: str = "", harmless: bool = False) -> Rule:
    return Rule(name, Severity.QUARANTINE, title, _refused, limit, unit, remedy=remedy, harmless=harmless)


_ANEW = Remedy("Write the row anew, with its place in a column `replaces`, and `tilegate data add --kind review` it.")
_OTHER_FILE = Remedy("Give the right file.", "readmit", "--file FILE")
_WITHOUT_COLUMNS = Remedy("Take it without the columns that cannot be right.", "readmit")
_ANY_FILE = Remedy("Give the right file, or without --file take the one that is there.", "readmit", "--file FILE")
_OF_PICTURES = Remedy("Decide on the label, or type --waive near-conflict instead of one.", "decide")
_OF_LABELLERS = Remedy("Decide on the label, or type --waive labeller instead of one.", "decide")
_SAME = Remedy("Nothing is lost: another row brings the same bytes with the same label.")
_OVERRULED = Remedy("Nothing is lost: a reviewer has decided otherwise.")
_LEAK = Remedy("It stays out, so that no split sees what is in another.")
_UNKNOWN = Remedy("`tilegate data add` the batch that holds the screenshot.")
_REPLACED = Remedy("Mended already: a later batch replaces the row.")

RULES = (
    # Rows, before any image is opened.
    _rule("manifest-line", "Rows that are no rows", _ANEW),
    _rule("label", "Labels that are none of the classes", Remedy("Give the right label.", "readmit", "--label LABEL")),
    _rule("formula", "Cells that a spreadsheet would run", _ANEW),
    _rule("schema", "Columns with impossible values", _WITHOUT_COLUMNS),
    _rule("path", "Paths that leave the batch", _OTHER_FILE),
    _rule("missing-file", "Rows without their file", _OTHER_FILE),
    # Images.
    _rule("image", "Files that are no usable image", Remedy("Give a file that opens.", "readmit", "--file FILE")),
    _rule("checksum", "Files that are not the bytes they are said to be", _ANY_FILE),
    # Screenshots against each other.
    _rule("duplicate", "The same bytes again", _SAME, harmless=True),
    _rule("superseded", "Labels that a reviewer overruled", _OVERRULED, harmless=True),
    _rule("label-conflict", "The same bytes with contradicting labels", Remedy("Decide on the label.", "decide")),
    _rule("near-conflict", "Nearly the same picture with contradicting labels", _OF_PICTURES),
    _rule("split-leak", "Nearly the same picture as one in another split", _LEAK),
    _rule("labeller", "Labellers who contradict the others", _OF_LABELLERS, limit=AGREEMENT_LIMIT, unit="%"),
    _rule("unknown-id", "Decisions about screenshots that are not there", _UNKNOWN),
    _rule("replaced", "Refused rows that were mended in a later batch", _REPLACED, harmless=True),
)
