"""The other rules for a person to read: odd pictures, rare classes, uneven splits, large groups, unused files."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from steps.core.dataset.splits import Split
from steps.validate.appearance import BLURRY_BELOW, DARK_BELOW, LITTLE_INFORMATION_BELOW, not_phone_reasons
from steps.validate.rule import Chapter, Finding, Rule, Severity, counted

if TYPE_CHECKING:
    from steps.validate.subject import Subject

NOTES = Chapter(Severity.NOTE)


@NOTES.rule(
    "not-phone",
    "Pictures that are hardly phone screenshots",
    gallery=("Hardly phone screenshots", "The model will meet phone screenshots only."),
)
def not_phone(rule: Rule, subject: "Subject") -> Finding:
    reasons = not_phone_reasons(subject.accepted).dropna()
    ids = subject.accepted["id"].loc[reasons.index]
    odd = dict(zip(ids.tolist(), reasons.tolist(), strict=True))
    kinds = Counter(reason.split(": ", 1)[-1] for reason in odd.values())
    most = "; ".join(f"{kind} ({count})" for kind, count in kinds.most_common(3))
    return _odd(rule, subject, odd, f" Most: {most}." if odd else "")


@NOTES.rule("class-balance", "A class that is rare", limit=0.1, unit="%")
def class_balance(rule: Rule, subject: "Subject") -> Finding:
    counts = [int((subject.labels == label).sum()) for label in (0, 1)]
    share = min(counts) / max(sum(counts), 1)
    text = f"{counts[0]:,} {subject.names[0]}, {counts[1]:,} {subject.names[1]}."
    return Finding(rule, share < rule.limit, f"{share:.0%}", text)


@NOTES.rule("split-balance", "Splits that differ in their share of positives", limit=0.15, unit="%")
def split_balance(rule: Rule, subject: "Subject") -> Finding:
    shares = subject.accepted.groupby("split")["label"].mean()
    if shares.empty:
        return Finding(rule, False, "-", "There is no screenshot.")
    gap = float(shares.max() - shares.min())
    text = (
        f"{subject.names[1]} are {shares.max():.0%} of the {shares.idxmax()} split and {shares.min():.0%} of the "
        f"{shares.idxmin()} split"
    )
    fired = gap > rule.limit
    text += ": groups are few, or large ones have one label only." if fired else "."
    return Finding(rule, fired, f"{gap:.0%} apart", text)


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


@NOTES.rule("dark", "Dark pictures", gallery=("Darkest", "Even their brightest parts are dark."))
def dark(rule: Rule, subject: "Subject") -> Finding:
    return _worst(rule, subject, "dark_quantile", DARK_BELOW, "brightest parts {:.2f}")


@NOTES.rule("blurry", "Blurry pictures", gallery=("Blurry", "No crisp edge: scaled up, or photographed."))
def blurry(rule: Rule, subject: "Subject") -> Finding:
    return _worst(rule, subject, "sharpness", BLURRY_BELOW, "sharpness {:.2f}")


@NOTES.rule(
    "low-information",
    "Pictures that show next to nothing",
    gallery=("Next to nothing to see", "Nearly one colour: is the label in the picture at all?"),
)
def low_information(rule: Rule, subject: "Subject") -> Finding:
    return _worst(rule, subject, "entropy", LITTLE_INFORMATION_BELOW, "{:.2f} bits of information")


@NOTES.rule("unused-files", "Files that no usable row names")
def unused_files(rule: Rule, subject: "Subject") -> Finding:
    measured = counted(subject.given.unused_files, "file")
    return Finding(rule, subject.given.unused_files > 0, measured, f"{measured} that no usable row names.")


def _worst(rule: Rule, subject: "Subject", column: str, below: float, caption: str) -> Finding:
    """Report the pictures whose `column` is below a limit, the smallest first; what is not measured is not odd."""
    worst = subject.accepted.loc[subject.accepted[column] < below, ["id", column]].sort_values(column, kind="stable")
    captions = map(caption.format, worst[column].tolist())
    return _odd(rule, subject, dict(zip(worst["id"].tolist(), captions, strict=True)))


def _odd(rule: Rule, subject: "Subject", captions: Mapping[str, str], more: str = "") -> Finding:
    share, measured = len(captions) / max(len(subject.accepted), 1), counted(len(captions), "screenshot")
    return Finding(rule, share > rule.limit, measured, f"{measured} ({share:.1%}).{more}", tuple(captions), captions)
