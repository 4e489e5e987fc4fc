"""The rules that keep a row out, each with what mends the row and the module that refuses it."""

from typing import TYPE_CHECKING

from steps.validate.label_agreement import AGREEMENT_LIMIT
from steps.validate.remedy import How, Remedy
from steps.validate.rule import Finding, Rule, Severity, counted

if TYPE_CHECKING:
    from steps.validate.subject import Subject


def _refused(rule: Rule, subject: "Subject") -> Finding:
    """Count the rows that were refused by the rule's name: what is wrong with each is told where it is refused."""
    rows = [row for row in subject.validation.quarantined if row.reason == rule.name]
    measured = counted(len(rows), "row")
    if not rows:
        return Finding(rule, False, measured, "No row.")
    text = f"{measured} kept out. First: row {rows[0].row} of {rows[0].batch}: {rows[0].detail}."
    return Finding(rule, True, measured, text, tuple(dict.fromkeys(row.sha256 for row in rows if row.sha256)))


def _rule(
    name: str,
    title: str,
    raised_in: str,
    remedy: Remedy,
    *,
    limit: float = 0.0,
    unit: str = "",
    gallery: tuple[str, str] | None = None,
    harmless: bool = False,
) -> Rule:
    return Rule(name, Severity.QUARANTINE, title, _refused, limit, unit, gallery, remedy, raised_in, harmless)


_ANEW = Remedy(
    How.ADD, "Write the row anew, with its place in a column `replaces`, and `tilegate data add --kind review` it."
)
_OTHER_FILE = Remedy(How.READMIT, "Give the right file.", "--file FILE")

RULES = (
    # Rows, before any image is opened.
    _rule("manifest-line", "Rows that are no rows", "steps.core.dataset.label_files", _ANEW),
    _rule(
        "label",
        "Labels that are none of the classes",
        "steps.core.dataset.classes",
        Remedy(How.READMIT, "Give the right label.", "--label LABEL"),
    ),
    _rule("formula", "Cells that a spreadsheet would run", "steps.core.dataset.label_files", _ANEW),
    _rule(
        "schema",
        "Columns with impossible values",
        "steps.core.dataset.rows",
        Remedy(How.READMIT, "Take it without the columns that cannot be right."),
    ),
    _rule("path", "Paths that leave the batch", "steps.core.dataset.paths", _OTHER_FILE),
    _rule("missing-file", "Rows without their file", "steps.core.dataset.paths", _OTHER_FILE),
    # Images.
    _rule(
        "image",
        "Files that are no usable image",
        "steps.validate.image_facts",
        Remedy(How.READMIT, "Give a file that opens.", "--file FILE"),
    ),
    _rule(
        "checksum",
        "Files that are not the bytes they are said to be",
        "steps.validate.admission",
        Remedy(How.READMIT, "Give the right file, or without --file take the one that is there.", "--file FILE"),
    ),
    # Screenshots against each other.
    _rule(
        "duplicate",
        "The same bytes again",
        "steps.core.dataset.label_resolution",
        Remedy(How.NOTHING, "Nothing is lost: another row brings the same bytes with the same label."),
        harmless=True,
    ),
    _rule(
        "superseded",
        "Labels that a reviewer overruled",
        "steps.core.dataset.label_resolution",
        Remedy(How.NOTHING, "Nothing is lost: a reviewer has decided otherwise."),
        harmless=True,
    ),
    _rule(
        "label-conflict",
        "The same bytes with contradicting labels",
        "steps.core.dataset.label_resolution",
        Remedy(How.DECIDE, "Decide on the label."),
        gallery=("Contradicting labels", "The same bytes, labelled both ways: a reviewer decides."),
    ),
    _rule(
        "near-conflict",
        "Nearly the same picture with contradicting labels",
        "steps.validate.admission",
        Remedy(How.DECIDE, "Decide on the label, or type --waive near-conflict instead of one."),
        gallery=("Contradicting labels", "Nearly the same picture, labelled both ways: a reviewer decides."),
    ),
    _rule(
        "split-leak",
        "Nearly the same picture as one in another split",
        "steps.validate.admission",
        Remedy(How.NOTHING, "It stays out, so that no split sees what is in another."),
    ),
    _rule(
        "labeller",
        "Labellers who contradict the others",
        "steps.validate.admission",
        Remedy(How.DECIDE, "Decide on the label, or type --waive labeller instead of one."),
        limit=AGREEMENT_LIMIT,
        unit="%",
    ),
    _rule(
        "unknown-id",
        "Decisions about screenshots that are not there",
        "steps.validate.admission",
        Remedy(How.ADD, "`tilegate data add` the batch that holds the screenshot."),
    ),
    _rule(
        "replaced",
        "Refused rows that were mended in a later batch",
        "steps.validate.admission",
        Remedy(How.NOTHING, "Mended already: a later batch replaces the row."),
        harmless=True,
    ),
)
