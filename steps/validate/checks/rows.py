"""The rules that keep a row out, each with what mends the row; the module that refuses it raises the rule's name."""

from dataclasses import replace
from typing import TYPE_CHECKING

from steps.validate.label_agreement import AGREEMENT_LIMIT
from steps.validate.rule import Finding, How, Remedy, Rule, Severity, counted

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


def _rule(name: str, title: str, how: How, text: str, options: str = "", *, harmless: bool = False) -> Rule:
    return Rule(name, Severity.QUARANTINE, title, _refused, remedy=Remedy(how, text, options), harmless=harmless)


_ANEW = "Write the row anew, with its place in a column `replaces`, and `tilegate data add --kind review` it."
_FILE = "Give the right file."

RULES = (
    # Rows, before any image is opened.
    _rule("manifest-line", "Rows that are no rows", How.ADD, _ANEW),
    _rule("label", "Labels that are none of the classes", How.READMIT, "Give the right label.", "--label LABEL"),
    _rule("formula", "Cells that a spreadsheet would run", How.ADD, _ANEW),
    _rule(
        "schema",
        "Columns with impossible values",
        How.READMIT,
        "Take it without the columns that cannot be right.",
    ),
    _rule("path", "Paths that leave the batch", How.READMIT, _FILE, "--file FILE"),
    _rule("missing-file", "Rows without their file", How.READMIT, _FILE, "--file FILE"),
    # Images.
    _rule("image", "Files that are no usable image", How.READMIT, "Give a file that opens.", "--file FILE"),
    _rule(
        "checksum",
        "Files that are not the bytes they are said to be",
        How.READMIT,
        "Give the right file, or without --file take the one that is there.",
        "--file FILE",
    ),
    # Screenshots against each other.
    _rule(
        "duplicate",
        "The same bytes again",
        How.NOTHING,
        "Nothing is lost: another row brings the same bytes with the same label.",
        harmless=True,
    ),
    _rule(
        "superseded",
        "Labels that a reviewer overruled",
        How.NOTHING,
        "Nothing is lost: a reviewer has decided otherwise.",
        harmless=True,
    ),
    _rule("label-conflict", "The same bytes with contradicting labels", How.DECIDE, "Decide on the label."),
    _rule(
        "near-conflict",
        "Nearly the same picture with contradicting labels",
        How.DECIDE,
        "Decide on the label, or type --waive near-conflict instead of one.",
    ),
    _rule(
        "split-leak",
        "Nearly the same picture as one in another split",
        How.NOTHING,
        "It stays out, so that no split sees what is in another.",
    ),
    replace(
        _rule(
            "labeller",
            "Labellers who contradict the others",
            How.DECIDE,
            "Decide on the label, or type --waive labeller instead of one.",
        ),
        limit=AGREEMENT_LIMIT,
        unit="%",
    ),
    _rule(
        "unknown-id",
        "Decisions about screenshots that are not there",
        How.ADD,
        "`tilegate data add` the batch that holds the screenshot.",
    ),
    _rule(
        "replaced",
        "Refused rows that were mended in a later batch",
        How.NOTHING,
        "Mended already: a later batch replaces the row.",
        harmless=True,
    ),
)
