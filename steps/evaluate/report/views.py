"""From the documents of other steps to the words and numbers of the page; what a document lacks is left out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from steps.core.gate.limits import Fleet
from steps.core.gate.review_load import PER_NEGATIVES
from steps.core.gate.slices import Status
from steps.core.html.text import count, percent
from steps.evaluate.report.documents import document, figure, said, sections
from steps.evaluate.report.model import Document
from steps.evaluate.report.plots import Candidate, Rates

Span = tuple[float, float, float]

_SECONDS = 3600


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
class Slice:
    """A slice of the test split, with the gate's status of it and the note that explains it."""

    column: str
    value: str
    fpr: Document | None
    tpr: Document | None
    status: str
    note: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus champion in one rate of errors, above 0 being worse: its bounds, and the most that is allowed."""

    name: str
    screenshots: str
    worse: str
    better: str
    value: float | None
    lower: float | None
    upper: float | None
    margin: float | None


@dataclass(frozen=True, slots=True)
class Variant:
    """A TFLite variant; what was not measured is None. `passed` if it may ship; `reason` says why not."""

    name: str
    passed: bool
    chosen: bool
    bytes: float | None
    compressed: float | None
    latency: float | None
    flipped: float | None
    fpr: float | None
    fpr_upper: float | None
    tpr: float | None
    tpr_lower: float | None
    threshold: float | None
    runtime: str
    operators: Sequence[str]
    reason: str


@dataclass(frozen=True, slots=True)
class Data:
    """What `validation.json` says of the data; `splits` holds the screenshots of each class, in the order of classes.

    findings: what fired. drifted: features that moved, in words.
    """

    counts: Sequence[tuple[str, str]]
    classes: Sequence[str]
    splits: Sequence[tuple[str, Sequence[Any]]]
    findings: Sequence[str]
    drifted: Sequence[str]


def span(rate: Any) -> Span | None:
    """Return (measured, lower, upper) of a rate's document, None unless all three are numbers."""
    found = [figure(document(rate).get(name)) for name in ("value", "lower", "upper")]
    return None if None in found else (found[0], found[1], found[2])  # type: ignore[return-value]


def rates(gate: Document) -> Rates:
    return Rates(span(gate.get("fpr")), span(gate.get("tpr")), figure(gate.get("max_fpr")), figure(gate.get("min_tpr")))


def threshold(gate: Document) -> float | None:
    """Return the frozen threshold, None if the gate had to stop before it had one."""
    return figure(document(gate.get("operating_point")).get("threshold"))


def fleet_of(gate: Document, given: Fleet | None) -> Fleet:
    """Return the given fleet, else the verdict's, else an example."""
    if given is not None:
        return given
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


def checks(gate: Document) -> list[Check]:
    """Return what the gate asks for, in its order: what was measured, what was wanted, and whether it holds."""
    measured, found = rates(gate), []
    confidence = figure(gate.get("confidence"))
    sure = f" at {percent(confidence)} confidence" if confidence else ""
    point = document(gate.get("operating_point"))
    violation = figure(point.get("violation"))
    if violation is not None and confidence:
        found.append(
            Check(
                "Threshold: chance that its true false-positive rate is above the limit",
                percent(violation),
                f"at most {percent(1 - confidence)}",
                violation <= 1 - confidence + 1e-12 and not point.get("missing"),
            )
        )
    if measured.fpr and measured.limit is not None:
        upper = measured.fpr[2]
        found.append(
            Check(
                f"False-positive rate, upper bound{sure}",
                percent(upper),
                f"at most {percent(measured.limit)}",
                upper <= measured.limit,
            )
        )
    if measured.tpr and measured.floor is not None:
        lower = measured.tpr[1]
        found.append(
            Check(
                f"True-positive rate, lower bound{sure}",
                percent(lower),
                f"at least {percent(measured.floor)}",
                lower >= measured.floor,
            )
        )
    parts = [part for part in slices(gate) if part.status != Status.NOT_JUDGED]
    if parts:
        bad = sum(part.status == Status.FAILED for part in parts)
        found.append(Check("Slices with enough data", f"{bad} of {len(parts)} fail", "none fails", bad == 0))
    told = document(gate.get("champion"))
    if isinstance(passed := told.get("passed"), bool):
        found.append(Check("Against the champion", "passed" if passed else "failed", str(told.get("rule", "")), passed))
    gain = document(gate.get("baseline"))
    if (value := figure(gain.get("value"))) is not None:
        ends = [figure(gain.get(end)) for end in ("lower", "upper")]
        interval = f" ({ends[0]:+.3f} to {ends[1]:+.3f})" if None not in ends else ""
        found.append(
            Check(
                "Partial AUC beyond the baseline's, a logistic regression on whole screenshots",
                f"{value:+.3f}{interval}",
                "not proven to be below 0",
                ends[1] is None or ends[1] >= 0,
            )
        )
    ledger = document(gate.get("ledger"))
    if (looks := figure(ledger.get("looks"))) is not None:
        budget = figure(ledger.get("budget"))
        wanted = f"at most {budget:g}" if budget is not None else ""
        found.append(Check("Looks at this test split, this one included", f"{looks:g}", wanted, None))
    return found


def message(gate: Document) -> str:
    """Return the verdict's sentence without the reasons, which the page lists."""
    reasons = " ".join(str(reason) for reason in gate.get("reasons") or ())
    return str(gate.get("message") or "").removesuffix(reasons).strip()


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


def warnings(gate: Document) -> list[str]:
    """Return what the gate warns of without failing."""
    return [str(line) for line in gate.get("warnings") or ()]


def slices(gate: Document) -> list[Slice]:
    """Return the slices as the verdict lists them: those that fail, the proven, the open ones, the rest."""
    order = [str(status) for status in Status]
    found = [
        Slice(
            str(row.get("column", "")),
            str(row.get("value", "")),
            document(row.get("fpr")) or None,
            document(row.get("tpr")) or None,
            str(row.get("status", "")),
            str(row.get("note") or ""),
        )
        for row in map(document, gate.get("slices") or ())
    ]
    return sorted(found, key=lambda part: order.index(part.status) if part.status in order else len(order))


def differences(gate: Document) -> list[Difference]:
    """Return how the candidate's rates differ from the champion's, where they could be compared."""
    told = document(gate.get("champion"))
    found = []
    for key, name in (("fpr", "FPR, increase"), ("tpr", "TPR, decrease")):
        if row := document(told.get(key)):
            trials, worse, better = (said(row.get(part)) for part in ("trials", "worse", "better"))
            numbers = (figure(row.get(part)) for part in ("value", "lower", "upper", "margin"))
            found.append(Difference(name, trials, worse, better, *numbers))
    return found


def variants(rows: Sequence[Document]) -> list[Variant]:
    """Return the variants of `variants.json`, the chosen one first, then those that may ship by compressed size."""
    found = []
    for row in rows:
        judged, passed = row.get("passed") is True, row.get("may_ship", row.get("passed")) is True
        reason = str(row.get("reason") or "" if judged else row.get("reason") or row.get("message") or "")
        if judged and not passed and not reason:
            reason = "more decisions differ from the trained model's than may"
        operators = document(row.get("operators"))
        found.append(
            Variant(
                name=str(row.get("name", "")),
                passed=passed,
                chosen=row.get("chosen") is True,
                bytes=figure(row.get("bytes")),
                compressed=figure(row.get("deflated")),
                latency=figure(row.get("latency_ms")),
                flipped=figure(row.get("flipped")),
                fpr=figure(row.get("fpr")),
                fpr_upper=figure(row.get("fpr_upper")),
                tpr=figure(row.get("tpr")),
                tpr_lower=figure(row.get("tpr_lower")),
                threshold=figure(row.get("threshold")),
                runtime=str(row.get("min_runtime_version") or ""),
                operators=[f"{name} {said(number)}" for name, number in operators.items()],
                reason=reason,
            )
        )
    return sorted(found, key=lambda v: (not v.chosen, not v.passed, v.compressed or math.inf, v.name))


def candidates(found: Sequence[Variant]) -> list[Candidate]:
    """Return the variants that have both a size and a latency, as points."""
    return [
        Candidate(v.name, v.compressed, v.latency, v.passed, v.chosen)
        for v in found
        if v.compressed is not None and v.latency is not None
    ]


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
        findings=[str(one.get("text", "")) for one in findings if one.get("fired")],
        drifted=drifted,
    )


def metrics(told: Document) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return Model Monitor's metrics as sections, without the points of the curve, the confusion matrix in words."""
    plain = {name: value for name, value in told.items() if not name.endswith("_curve") and name != "confusion_matrix"}
    found = sections({name: one["value"] if "value" in document(one) else one for name, one in plain.items()})
    matrix = [
        (f"{kind}, {decision}", said(document(document(told.get("confusion_matrix")).get(label)).get(flagged)))
        for label, kind in (("0", "negatives"), ("1", "positives"))
        for flagged, decision in (("1", "flagged"), ("0", "not flagged"))
    ]
    return [("Decisions", matrix), *found] if "confusion_matrix" in told else found


def _times(values: Span, factor: float) -> Span:
    return (values[0] * factor, values[1] * factor, values[2] * factor)
