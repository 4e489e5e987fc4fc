"""From the documents of other steps to the words and numbers of the page; what a document lacks is left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from steps.core.gate.limits import Fleet
from steps.core.gate.review_load import PER_NEGATIVES
from steps.core.gate.slices import Status
from steps.core.html.text import count, percent
from steps.evaluate.report.documents import document, figure, said
from steps.evaluate.report.model import Document, Page
from steps.evaluate.report.plots import Candidate, Rates

Span = tuple[float, float, float]

_SECONDS = 3600
_NUMBERS = ("bytes", "deflated", "latency_ms", "flipped", "fpr_upper", "tpr_lower")
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
class People:
    """What a rate means for people, each (measured, at the lower bound, at the upper bound); numbers a day.

    found: positives that are flagged. hours: spent on everything that is flagged.
    """

    per_negatives: Span
    alarms: Span
    found: Span
    hours: Span


@dataclass(frozen=True, slots=True)
class Rival:
    """A column of the comparison: how many false alarms it raises and positives it finds in the test split."""

    name: str
    false_alarms: int
    found: int


@dataclass(frozen=True, slots=True)
class Data:
    """What `validation.json` says of the data; `splits` holds the screenshots of each class, in the order of classes.

    findings: (title, text) of what fired. drifted: features that moved, in words.
    """

    counts: Sequence[tuple[str, str]]
    classes: Sequence[str]
    splits: Sequence[tuple[str, Sequence[Any]]]
    findings: Sequence[tuple[str, str]]
    drifted: Sequence[str]


def span(rate: Any) -> Span | None:
    """Return (measured, lower, upper) of a rate's document, None unless all three are numbers."""
    found = [figure(document(rate).get(name)) for name in ("value", "lower", "upper")]
    return None if None in found else (found[0], found[1], found[2])  # type: ignore[return-value]


def rates(gate: Document) -> Rates:
    return Rates(span(gate.get("fpr")), span(gate.get("tpr")), figure(gate.get("max_fpr")), figure(gate.get("min_tpr")))


def threshold(gate: Document) -> float | None:
    """Return the model's threshold, None if the gate had to stop before it had one."""
    return figure(document(gate.get("operating_point")).get("threshold"))


def fleet_of(gate: Document) -> Fleet:
    """Return the verdict's fleet, else an example."""
    told = document(document(gate.get("people")).get("fleet"))
    known: dict[str, Any] = {field.name: figure(told.get(field.name)) for field in fields(Fleet)}
    return Fleet(**{name: value for name, value in known.items() if value is not None})


def people(gate: Document, fleet: Fleet) -> People | None:
    """Say what the measured rates mean for a fleet; None if they were not measured."""
    measured = rates(gate)
    if measured.fpr is None or measured.tpr is None:
        return None
    seen = fleet.phones * fleet.screenshots_per_day
    alarms = _times(measured.fpr, seen * (1 - fleet.positive_share))
    found = _times(measured.tpr, seen * fleet.positive_share)
    flagged = (alarms[0] + found[0], alarms[1] + found[1], alarms[2] + found[2])
    hours = _times(flagged, fleet.seconds_per_review / _SECONDS)
    return People(_times(measured.fpr, PER_NEGATIVES), alarms, found, hours)


def message(gate: Document) -> str:
    """Return the verdict in a sentence, without the reasons, which the page lists."""
    measured, rate = rates(gate), document(gate.get("fpr"))
    sure, trials = figure(gate.get("confidence")), figure(rate.get("trials"))
    if measured.fpr is None or measured.limit is None or sure is None or trials is None:
        reasons = " ".join(str(reason) for reason in gate.get("reasons") or ())
        return str(gate.get("message") or "").removesuffix(reasons).strip()
    return (
        f"{said(rate.get('count'))} of {count(int(trials))} negatives of the test were false alarms. With "
        f"{percent(sure)} confidence the true share is at most {percent(measured.fpr[2])}; the limit is "
        f"{percent(measured.limit)}."
    )


def limits(gate: Document) -> str:
    """Return what a model has to prove, "" if the verdict does not say."""
    measured, sure = rates(gate), figure(gate.get("confidence"))
    if measured.limit is None or measured.floor is None or sure is None:
        return ""
    return (
        f"false alarms for at most {percent(measured.limit)} of the negatives, and at least {percent(measured.floor)} "
        f"of the positives found, proven with {percent(sure)} confidence"
    )


def checks(gate: Document) -> list[Check]:
    """Return what the gate asks for, in its order: what was measured, what was wanted, and whether that is so."""
    measured, found = rates(gate), []
    confidence = figure(gate.get("confidence"))
    sure = f", with {percent(confidence)} confidence" if confidence else ""
    point = document(gate.get("operating_point"))
    violation = figure(point.get("violation"))
    if violation is not None and confidence:
        kept = violation <= 1 - confidence + 1e-12 and not point.get("missing")
        name = "Chance that the threshold raises more false alarms than the limit allows"
        found.append(Check(name, percent(violation), f"at most {percent(1 - confidence)}", kept))
    if measured.fpr and measured.limit is not None:
        upper, wanted = measured.fpr[2], f"at most {percent(measured.limit)}"
        found.append(Check(f"False alarms, at most{sure}", percent(upper), wanted, upper <= measured.limit))
    if measured.tpr and measured.floor is not None:
        lower, wanted = measured.tpr[1], f"at least {percent(measured.floor)}"
        found.append(Check(f"Positives found, at least{sure}", percent(lower), wanted, lower >= measured.floor))
    parts = [part for part in slices(gate) if part["status"] != Status.NOT_JUDGED]
    if parts:
        bad = sum(part["status"] == Status.FAILED for part in parts)
        found.append(Check("Slices with enough data", f"{bad} of {len(parts)} fail", "none may fail", bad == 0))
    told = document(gate.get("champion"))
    if isinstance(passed := told.get("passed"), bool):
        found.append(Check("Against the champion", "passed" if passed else "failed", str(told.get("rule", "")), passed))
    gain = document(gate.get("baseline"))
    if (value := figure(gain.get("value"))) is not None:
        ends = [figure(gain.get(end)) for end in ("lower", "upper")]
        interval = f" ({ends[0]:+.3f} to {ends[1]:+.3f})" if None not in ends else ""
        name = "Ranks screenshots better than the baseline: partial AUC"
        kept = ends[1] is None or ends[1] >= 0
        found.append(Check(name, f"{value:+.3f}{interval}", "not proven worse than 0", kept))
    ledger = document(gate.get("ledger"))
    if (looks := figure(ledger.get("looks"))) is not None:
        budget = figure(ledger.get("budget"))
        wanted = f"at most {budget:g}" if budget is not None else ""
        name = "Times that a model was tested on these screenshots, this one included"
        found.append(Check(name, f"{looks:g}", wanted, None))
    return found


def rivals(page: Page) -> list[Rival]:
    """Return this model and what it is compared with on the test split, none if it was not measured."""
    fpr, tpr = (document(page.gate.get(name)) for name in ("fpr", "tpr"))
    alarms, found = (figure(rate.get("count")) for rate in (fpr, tpr))
    if alarms is None or found is None:
        return []
    columns = [Rival("this model", int(alarms), int(found))]
    champion = document(page.gate.get("champion"))
    turns = [_turned(champion.get(rate)) for rate in ("fpr", "tpr")]
    if turns[0] is not None and turns[1] is not None:
        columns.append(Rival("champion", int(alarms - turns[0]), int(found + turns[1])))
    counts = [figure(page.baseline.get(name)) for name in ("false_alarms", "found")]
    if counts[0] is not None and counts[1] is not None:
        columns.append(Rival("baseline", int(counts[0]), int(counts[1])))
    return columns


def _turned(difference: Any) -> float | None:
    """Return how many more errors the candidate makes than the champion, None if they were not compared."""
    worse, better = (figure(document(difference).get(name)) for name in ("worse", "better"))
    return None if worse is None or better is None else worse - better


def dependence(gate: Document) -> str:
    """Say how many independent screenshots the negatives count as, "" if they are independent."""
    rate = document(gate.get("fpr"))
    trials, groups, effective = (figure(rate.get(name)) for name in ("trials", "groups", "effective"))
    if trials is None or groups is None or effective is None or effective >= trials:
        return ""
    return (
        f"Screenshots of one group are not independent: the {count(int(trials))} negatives, of {count(int(groups))} "
        f"groups, count as {count(int(effective))}."
    )


def slices(gate: Document) -> list[dict[str, Any]]:
    """Return the slices as the verdict lists them: those that fail, the proven, the undecided ones, the rest."""
    order = [str(status) for status in Status]
    found = []
    for row in map(document, gate.get("slices") or ()):
        texts = {name: str(row.get(name) or "") for name in ("column", "value", "status", "note")}
        found.append({**texts, **{rate: document(row.get(rate)) or None for rate in ("fpr", "tpr")}})
    return sorted(found, key=lambda part: order.index(part["status"]) if part["status"] in order else len(order))


def slices_told(found: Sequence[Mapping[str, Any]]) -> str:
    """Return how many slices there are of each status, in a sentence."""
    counts = {status: sum(part["status"] == status for part in found) for status in _STATUSES}
    words = [f"{number} {_STATUSES[status][number != 1]}" for status, number in counts.items() if number]
    return "; ".join(words if counts[Status.FAILED] else ["None fails", *words])


def variants(rows: Sequence[Document]) -> list[dict[str, Any]]:
    """Return the variants of `variants.json`, the chosen one first, then those that may ship by compressed size."""
    found = []
    for row in rows:
        passed = row.get("may_ship") is True
        reason = row.get("reason") or ("" if row.get("passed") is True else row.get("message")) or ""
        if not passed and not reason:
            reason = "more of its decisions differ from the trained model's than may"
        named = {"name": str(row.get("name", "")), "reason": str(reason), "passed": passed}
        numbers = {key: figure(row.get(key)) for key in _NUMBERS}
        runtime = str(row.get("min_runtime_version") or "")
        found.append({**named, **numbers, "runtime": runtime, "chosen": row.get("chosen") is True})
    return sorted(found, key=lambda v: (not v["chosen"], not v["passed"], v["deflated"] or float("inf"), v["name"]))


def candidates(found: Sequence[Mapping[str, Any]]) -> list[Candidate]:
    """Return the variants that have both a size and a latency, as points."""
    return [
        Candidate(v["name"], v["deflated"], v["latency_ms"], v["passed"], v["chosen"])
        for v in found
        if v["deflated"] is not None and v["latency_ms"] is not None
    ]


def data_told(told: Document) -> str:
    """Return what data there are, in words: how many of each class, of how many groups; "" if that is not known."""
    accepted, groups = figure(told.get("accepted")), figure(told.get("groups"))
    if accepted is None or groups is None:
        return ""
    classes = ", ".join(f"{said(number)} {name}" for name, number in document(told.get("classes")).items())
    return f"{count(int(accepted))} labelled screenshots of {count(int(groups))} groups, {classes}"


def data(told: Document) -> Data:
    """Return what `validation.json` says."""
    names = ("verdict", "rows", "accepted", "quarantined", "groups", "near_duplicate_pairs")
    classes = [str(name) for name in document(told.get("classes"))]
    splits = [
        (str(split), [document(counts).get(name) for name in classes])
        for split, counts in document(told.get("splits")).items()
    ]
    findings = [document(one) for one in told.get("findings") or ()]
    drifted = [
        f"{feature} ({rule.replace('-', ' ')}, distance {said(document(one).get('distance'))})"
        for rule, features in document(told.get("drift")).items()
        for feature, one in document(features).items()
        if document(one).get("drifted")
    ]
    return Data(
        counts=[(name.replace("_", " "), said(told[name])) for name in names if name in told],
        classes=classes,
        splits=splits,
        findings=[(str(one.get("title", "")), str(one.get("text", ""))) for one in findings if one.get("fired")],
        drifted=drifted,
    )


def _times(values: Span, factor: float) -> Span:
    return (values[0] * factor, values[1] * factor, values[2] * factor)
