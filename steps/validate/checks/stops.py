"""The rules about the set as a whole that end a run before it trains."""

from collections import Counter
from typing import TYPE_CHECKING

from steps.core.common.text import printable
from steps.core.dataset.splits import Split
from steps.validate.rule import Chapter, Finding, Rule, Severity, counted

if TYPE_CHECKING:
    from steps.validate.subject import Subject

STOPS = Chapter(Severity.STOP)
# A share of few says nothing: a first batch of three may well have one broken file, and few changes are corrections.
ENOUGH = 20
# Reasons for which a row is refused by itself, whatever other rows say: a batch of nothing else was never read right.
_OF_ITSELF = frozenset({"manifest-line", "label", "formula", "schema", "path", "missing-file", "image", "checksum"})


@STOPS.rule("both-classes", "A class without a screenshot", limit=1)
def both_classes(rule: Rule, subject: "Subject") -> Finding:
    empty = [name for label, name in enumerate(subject.names) if not (subject.labels == label).any()]
    text = "Both classes have screenshots."
    if empty:
        text = f"The class {empty[0]!r} has no usable screenshot: a model needs both classes."
    if len(empty) > 1:
        text = "There is no usable screenshot at all."
    rows = subject.validation.quarantined
    if empty and rows:
        text += f" {counted(len(rows), 'row')} quarantined, the first because: {rows[0].detail}."
    return Finding(rule, bool(empty), f"{len(empty)} empty", text)


@STOPS.rule("empty-batch", "A batch of which nothing can be used")
def empty_batch(rule: Rule, subject: "Subject") -> Finding:
    refused = [row for row in subject.validation.quarantined if row.reason in _OF_ITSELF]
    counts = Counter(row.batch for row in refused)
    empty = [batch for batch, count in counts.items() if count == subject.given.rows_of.get(batch)]
    text = "Every batch brings something."
    if empty:
        first = next(row for row in refused if row.batch == empty[0])
        text = (
            f"All {counted(counts[empty[0]], 'row')} of the batch {empty[0]} are refused, the first because: "
            f"{printable(first.detail, 300)}. Mend them with `tilegate data readmit`, or withdraw the batch."
        )
    return Finding(rule, bool(empty), counted(len(empty), "batch"), text)


@STOPS.rule("split-classes", "A split without a class", limit=1)
def split_classes(rule: Rule, subject: "Subject") -> Finding:
    missing = [
        (split, name)
        for split in Split
        for label, name in enumerate(subject.names)
        if not ((subject.accepted["split"] == str(split)) & (subject.labels == label)).any()
    ]
    groups = subject.accepted["group"].nunique()
    text = (
        f"The {missing[0][0]} split has no screenshot of class {missing[0][1]!r} (splits follow the groups, of "
        f"which there are {groups}): add labelled data from more groups."
        if missing
        else "Every split has both classes."
    )
    return Finding(rule, bool(missing), f"{len(missing)} missing", text)


@STOPS.rule("no-leakage", "Splits that share an app or a picture")
def no_leakage(rule: Rule, subject: "Subject") -> Finding:
    groups, crossing = subject.validation.crossing
    text = (
        f"Of {subject.accepted['group'].nunique():,} groups {groups} lie in two splits. Near-duplicates were looked "
        f"for once more among what was accepted: {counted(crossing, 'pair')} in two splits."
    )
    return Finding(rule, groups + crossing > 0, f"{counted(groups, 'group')}, {counted(crossing, 'pair')}", text)


@STOPS.rule("label-changes", "Labels changed since the last snapshot", limit=0.02, unit="%")
def label_changes(rule: Rule, subject: "Subject") -> Finding:
    changes = subject.changes
    if changes is None:
        return Finding(rule, False, "-", "There is no earlier snapshot to compare with.")
    # A label that a new batch makes doubtful is lost as one that it turns round.
    ids = (*changes.changed, *changes.lost)
    share = len(ids) / max(1, changes.n_before)
    text = (
        f"{counted(len(ids), 'label')} of {changes.n_before:,} changed or became doubtful; the limit, from {ENOUGH} "
        f"labels on, is {rule.limit:.1%} of them."
    )
    fired = len(ids) >= ENOUGH and share > rule.limit
    if fired:
        text += " If that is wanted, run with a higher --max-label-changes."
    return Finding(rule, fired, f"{share:.1%}", text, ids)


@STOPS.rule("quarantined-share", "New rows that had to be quarantined", limit=0.5, unit="%")
def quarantined_share(rule: Rule, subject: "Subject") -> Finding:
    rows, refused = subject.given.new_rows, subject.given.new_refused
    share = refused / max(rows, 1)
    text = f"{refused:,} of {rows:,} new rows were refused; the limit, from {ENOUGH} rows on, is {rule.limit:.0%}."
    return Finding(rule, rows >= ENOUGH and share > rule.limit, f"{share:.0%}", text)
