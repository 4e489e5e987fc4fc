"""The rules for a person to read: drift, shortcuts, odd pictures, rare classes, splits of few groups, large groups."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from steps.core.dataset.splits import Split
from steps.validate.appearance import BLURRY_BELOW, DARK_BELOW, LITTLE_INFORMATION_BELOW, not_phone_reasons
from steps.validate.rule import Chapter, Finding, Rule, Severity, counted

if TYPE_CHECKING:
    from steps.validate.subject import Subject

NOTES = Chapter(Severity.NOTE)


@NOTES.rule("drift-champion", "New data are unlike the champion's", limit=0.2)
def champion_drift(rule: Rule, subject: "Subject") -> Finding:
    return _drift(rule, subject, missing="no approved model yet")


@NOTES.rule("drift-reference", "Data are unlike what phones in production show", limit=0.2)
def reference_drift(rule: Rule, subject: "Subject") -> Finding:
    return _drift(rule, subject, missing="no production reference sample")


def _drift(rule: Rule, subject: "Subject", *, missing: str) -> Finding:
    comparison = next((found for found in subject.given.comparisons if found.rule == rule.name), None)
    if comparison is None:
        return Finding(rule, False, "-", f"Not compared: {missing}, or nothing is new since.")
    drifted, text = comparison.drifted, comparison.text
    if drifted:
        worst = max(drifted, key=lambda drift: drift.lower)
        text += (
            f" {counted(len(drifted), 'feature')} differ beyond doubt, most {worst.feature}: distance "
            f"{worst.distance:.2f}, at least {worst.lower:.2f} at 95 %."
        )
    return Finding(rule, bool(drifted), counted(len(drifted), "feature"), text)


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


NOTES.rule("shortcut-size", "Size and orientation alone predict the label", limit=0.6, unit="AUC")(_shortcut)
NOTES.rule("shortcut-colour", "Colour and brightness alone predict the label", limit=0.7, unit="AUC")(_shortcut)
NOTES.rule("shortcut-file", "Format and file size alone predict the label", limit=0.6, unit="AUC")(_shortcut)


@NOTES.rule("not-phone", "Pictures that are hardly phone screenshots")
def not_phone(rule: Rule, subject: "Subject") -> Finding:
    reasons = not_phone_reasons(subject.accepted).dropna()
    ids = subject.accepted["id"].loc[reasons.index]
    odd = dict(zip(ids.tolist(), reasons.tolist(), strict=True))
    kinds = Counter(reason.split(": ", 1)[-1] for reason in odd.values())
    most = "; ".join(f"{kind} ({count})" for kind, count in kinds.most_common(3))
    return _odd(rule, subject, odd, f" The model will meet phone screenshots only. Most: {most}." if odd else "")


@NOTES.rule("class-balance", "A class that is rare", limit=0.1, unit="%")
def class_balance(rule: Rule, subject: "Subject") -> Finding:
    counts = [int((subject.labels == label).sum()) for label in (0, 1)]
    share = min(counts) / max(sum(counts), 1)
    text = f"{counts[0]:,} {subject.names[0]}, {counts[1]:,} {subject.names[1]}."
    return Finding(rule, share < rule.limit, f"{share:.0%}", text)


@NOTES.rule("split-groups", "Splits with few independent groups", limit=30)
def split_groups(rule: Rule, subject: "Subject") -> Finding:
    counts = subject.accepted.groupby(["split", "label"])["group"].nunique()
    least, split, name = min(
        ((int(counts.get((str(s), i), 0)), s, name) for s in Split for i, name in enumerate(subject.names)),
        key=lambda found: found[0],
    )
    text = (
        f"Fewest are the {least} groups of {name!r} in the {split} split. Screenshots of one group are "
        "not independent: what a split can prove depends on its groups."
    )
    return Finding(rule, least < rule.limit, counted(least, "group"), text)


@NOTES.rule("dominant-group", "One group with a large share", limit=0.05, unit="%")
def dominant_group(rule: Rule, subject: "Subject") -> Finding:
    shares = subject.accepted["group"].value_counts(normalize=True)
    if shares.empty:
        return Finding(rule, False, "-", "There is no screenshot.")
    name, share = str(shares.index[0]), float(shares.iloc[0])
    return Finding(rule, share > rule.limit, f"{share:.1%}", f"The largest group is {name!r}: {share:.1%}.")


@NOTES.rule("ungrouped", "Screenshots of unknown origin")
def ungrouped(rule: Rule, subject: "Subject") -> Finding:
    alone = int((subject.accepted["group"] == subject.accepted["id"]).sum())
    text = f"{counted(alone, 'screenshot')} without group, app or session."
    if alone:
        text += " Those of one app may be on both sides of a split, which makes results look better than they are."
    return Finding(rule, alone > 0, counted(alone, "screenshot"), text)


@NOTES.rule("near-duplicates", "Nearly the same picture with the same label")
def near_duplicates(rule: Rule, subject: "Subject") -> Finding:
    sizes = subject.accepted["cluster"].value_counts()
    shared = sizes[sizes > 1]
    measured = counted(int(shared.sum()), "screenshot")
    text = (
        f"{measured} in {counted(len(shared), 'cluster')}, the largest of "
        f"{int(shared.max()) if len(shared) else 0}. They stay in one split, and count for less than their number."
    )
    ids = subject.accepted.loc[subject.accepted["cluster"].isin(shared.index), "id"]
    return Finding(rule, len(shared) > 0, measured, text, tuple(ids.tolist()))


@NOTES.rule("dark", "Pictures whose brightest parts are dark")
def dark(rule: Rule, subject: "Subject") -> Finding:
    return _below(rule, subject, "dark_quantile", DARK_BELOW, "brightest parts {:.2f}")


@NOTES.rule("blurry", "Pictures without a crisp edge: scaled up, or photographed")
def blurry(rule: Rule, subject: "Subject") -> Finding:
    return _below(rule, subject, "sharpness", BLURRY_BELOW, "sharpness {:.2f}")


@NOTES.rule("low-information", "Pictures that show next to nothing")
def low_information(rule: Rule, subject: "Subject") -> Finding:
    return _below(rule, subject, "entropy", LITTLE_INFORMATION_BELOW, "{:.2f} bits of information")


@NOTES.rule("unused-files", "Files that no usable row names")
def unused_files(rule: Rule, subject: "Subject") -> Finding:
    measured = counted(subject.given.unused_files, "file")
    return Finding(rule, subject.given.unused_files > 0, measured, f"{measured} that no usable row names.")


def _below(rule: Rule, subject: "Subject", column: str, limit: float, caption: str) -> Finding:
    """Report the pictures whose `column` is below a limit, the smallest first; what is not measured is not odd."""
    worst = subject.accepted.loc[subject.accepted[column] < limit, ["id", column]].sort_values(column, kind="stable")
    captions = map(caption.format, worst[column].tolist())
    return _odd(rule, subject, dict(zip(worst["id"].tolist(), captions, strict=True)))


def _odd(rule: Rule, subject: "Subject", captions: Mapping[str, str], more: str = "") -> Finding:
    """Report odd pictures, with a caption for each by its id."""
    share, measured = len(captions) / max(len(subject.accepted), 1), counted(len(captions), "screenshot")
    return Finding(rule, bool(captions), measured, f"{measured} ({share:.1%}).{more}", tuple(captions), captions)
