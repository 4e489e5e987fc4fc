"""The rules about labels that follow from something else than what the pictures show."""

from typing import TYPE_CHECKING

from steps.validate.rule import Chapter, Finding, Rule, Severity, counted

if TYPE_CHECKING:
    from steps.validate.subject import Subject

NOTES = Chapter(Severity.NOTE)


@NOTES.rule("pure-value", "Values that occur with one label only", limit=0.05, unit="%")
def pure_value(rule: Rule, subject: "Subject") -> Finding:
    said, ids = [], []
    for row in subject.pure.to_dict("records"):
        share = "all of them" if row["share"] == 1 else f"{row['share']:.0%}"
        said.append(
            f"{row['column']} {row['value']}: {row['n']} screenshots of {row['groups']} groups, "
            f"{subject.names[row['label']]} {share}"
        )
        ids += list(subject.accepted.loc[subject.columns[row["column"]] == row["value"], "id"].head(1))
    text = f"Whoever knows the value knows the label. {'; '.join(said)}." if said else "None."
    return Finding(rule, bool(said), counted(len(said), "value"), text, tuple(ids))


def _shortcut(rule: Rule, subject: "Subject") -> Finding:
    found = subject.probes.get(rule.name)
    if found is None:
        return Finding(rule, False, "-", "Too few groups of both classes to measure it.")
    text = (
        f"A small model that sees nothing else reaches an AUC of {found.auc:.2f} ({found.lower:.2f} to "
        f"{found.upper:.2f} by group) on groups that it has not seen; 0.5 is chance."
    )
    fired = found.auc > rule.limit
    if fired:
        text += " A classifier may learn this instead of what the pictures show: report such slices apart."
    return Finding(rule, fired, f"AUC {found.auc:.2f}", text)


size = NOTES.rule("shortcut-size", "Size and orientation alone predict the label", limit=0.6, unit="AUC")(_shortcut)
colour = NOTES.rule("shortcut-colour", "Colour and brightness alone predict the label", limit=0.7, unit="AUC")(
    _shortcut
)
file = NOTES.rule("shortcut-file", "Format and file size alone predict the label", limit=0.6, unit="AUC")(_shortcut)
