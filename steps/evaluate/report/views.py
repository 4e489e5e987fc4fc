"""The words and numbers of the page, from a verdict and the documents of other steps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steps.core.gate.clustered_errors import Rate
from steps.core.gate.limits import ChampionRule
from steps.core.gate.slices import Slice, Status
from steps.core.gate.test_set_ledger import LOOKS_BUDGET
from steps.core.gate.verdict import Verdict
from steps.core.html.text import count, percent
from steps.evaluate.report.model import Document, Page

# What a candidate owes to the champion, by the rule's name.
RULES: Mapping[str, str] = {
    ChampionRule.NON_INFERIOR: "this model has to be proven not worse by more than the margins",
    ChampionRule.NOT_PROVEN_WORSE: "this model must not be proven worse",
}
_STATUSES = {
    Status.FAILED: ("fails", "fail"),
    Status.PROVEN: ("is proven good", "are proven good"),
    Status.OPEN: ("is undecided, for want of screenshots", "are undecided, for want of screenshots"),
    Status.NOT_JUDGED: ("is too small to judge", "are too small to judge"),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the gate asks for; `passed` is None for what warns at most."""

    name: str
    measured: str
    wanted: str
    passed: bool | None


@dataclass(frozen=True, slots=True)
class Rival:
    """A column of the comparison: how many false alarms it raises and positives it finds in the test split."""

    name: str
    false_alarms: int
    found: int


def message(verdict: Verdict) -> str:
    """Return what was measured in a sentence; the page lists the reasons."""
    fpr, limits = verdict.fpr, verdict.limits
    if fpr is None:
        return "The model was not measured."
    return (
        f"{count(fpr.count)} of {count(fpr.trials)} negatives of the test were false alarms. With "
        f"{percent(limits.confidence)} confidence the true share is at most {percent(fpr.upper)}; the limit is "
        f"{percent(limits.max_fpr)}."
    )


def limits(verdict: Verdict) -> str:
    asked = verdict.limits
    return (
        f"false alarms for at most {percent(asked.max_fpr)} of the negatives, and at least {percent(asked.min_tpr)} "
        f"of the positives found, proven with {percent(asked.confidence)} confidence"
    )


def checks(verdict: Verdict) -> list[Check]:
    """Return what the gate asks for, in its order: what was measured, what was wanted, and whether that is so."""
    asked, point, found = verdict.limits, verdict.point, []
    sure = f"with {percent(asked.confidence)} confidence"
    if point:
        kept = point.violation <= asked.alpha + 1e-12 and not point.missing
        name = "Chance that the threshold raises more false alarms than the limit allows"
        found.append(Check(name, percent(point.violation), f"at most {percent(asked.alpha)}", kept))
    if verdict.fpr:
        upper, wanted = verdict.fpr.upper, f"at most {percent(asked.max_fpr)}"
        found.append(Check(f"False alarms, at most, {sure}", percent(upper), wanted, upper <= asked.max_fpr))
    if verdict.tpr:
        lower, wanted = verdict.tpr.lower, f"at least {percent(asked.min_tpr)}"
        found.append(Check(f"Positives found, at least, {sure}", percent(lower), wanted, lower >= asked.min_tpr))
    if parts := [part for part in verdict.slices if part.status is not Status.NOT_JUDGED]:
        bad = sum(part.status is Status.FAILED for part in parts)
        found.append(Check("Slices with enough data", f"{bad} of {len(parts)} fail", "none may fail", bad == 0))
    if champion := verdict.champion:
        passed = not champion.reasons
        owed = "not proven worse" if champion.rule == ChampionRule.NOT_PROVEN_WORSE else "proven not worse"
        found.append(Check("Against the champion", "passed" if passed else "failed", owed, passed))
    if gain := verdict.gain:
        measured = f"{gain.value:+.3f} ({gain.lower:+.3f} to {gain.upper:+.3f})"
        name = "Ranks screenshots better than the baseline: partial AUC"
        found.append(Check(name, measured, "not proven worse than 0", not gain.lost))
    if wear := verdict.wear:
        name = "Times that a model was tested on these screenshots, this one included"
        found.append(Check(name, count(wear.looks), f"at most {LOOKS_BUDGET}", None))
    return found


def rivals(page: Page) -> list[Rival]:
    """Return this model and what it is compared with on the test split, none if it was not measured."""
    fpr, tpr, champion = page.verdict.fpr, page.verdict.tpr, page.verdict.champion
    if fpr is None or tpr is None:
        return []
    columns = [Rival("this model", fpr.count, tpr.count)]
    if champion and champion.fpr and champion.tpr:
        alarms = fpr.count - champion.fpr.worse + champion.fpr.better
        columns.append(Rival("champion", alarms, tpr.count + champion.tpr.worse - champion.tpr.better))
    if page.baseline:
        columns.append(Rival("baseline", page.baseline["false_alarms"], page.baseline["found"]))
    return columns


def dependence(rate: Rate | None) -> str:
    """Say how many independent screenshots the negatives count as, "" if they are independent."""
    if rate is None or rate.effective >= rate.trials:
        return ""
    return (
        f"Screenshots of one group are not independent: the {count(rate.trials)} negatives, of {count(rate.groups)} "
        f"groups, count as {count(int(rate.effective))}."
    )


def slices(verdict: Verdict) -> list[Slice]:
    """Return those that fail, the proven, the undecided ones, the rest."""
    return sorted(verdict.slices, key=lambda part: list(Status).index(part.status))


def slice_counts(found: Sequence[Slice]) -> str:
    """Return how many slices there are of each status, in a sentence."""
    counts = {status: sum(part.status is status for part in found) for status in _STATUSES}
    words = [f"{number} {_STATUSES[status][number != 1]}" for status, number in counts.items() if number]
    return "; ".join(words if counts[Status.FAILED] else ["None fails", *words])


def variants(rows: Sequence[Document]) -> list[dict[str, Any]]:
    """Return the variants of `variants.json`, the chosen one first, then those that may ship by compressed size."""
    found = []
    for row in rows:
        reason = row["reason"] or ("" if row["passed"] else row["message"])
        if not row["may_ship"] and not reason:
            reason = "more of its decisions differ from the trained model's than may"
        found.append({**row, "reason": reason})
    return sorted(found, key=lambda v: (not v["chosen"], not v["may_ship"], v["deflated"] or math.inf, v["name"]))


def dataset_line(validation: Document) -> str:
    """Return what data there are, in words: how many of each class, of how many groups; "" if that is not known."""
    if "accepted" not in validation:
        return ""
    classes = ", ".join(f"{shown(number)} {name}" for name, number in validation["classes"].items())
    return f"{count(validation['accepted'])} labelled screenshots of {count(validation['groups'])} groups, {classes}"


def snapshot(validation: Document) -> str:
    return str(validation.get("subject", {}).get("snapshot", ""))


def fired_findings(validation: Document) -> list[tuple[str, str]]:
    """Return the title and the text of every rule that fired."""
    return [(one["title"], one["text"]) for one in validation.get("findings", ()) if one["fired"]]


def counts(validation: Document) -> list[tuple[str, str]]:
    names = ("verdict", "rows", "accepted", "quarantined", "groups", "near_duplicate_pairs")
    return [(name.replace("_", " "), shown(validation[name])) for name in names if name in validation]


def rows_of(document: Document) -> list[tuple[str, str]]:
    """Return what a document holds as (name, text), without its parts."""
    return [(name.replace("_", " "), shown(one)) for name, one in document.items() if not isinstance(one, Mapping)]


def shown(value: Any) -> str:
    """Return a value as a person reads it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return count(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
