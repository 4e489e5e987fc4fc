"""The gate: threshold from calibration, proof on test, slices, champion and ledger, into one verdict."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from steps.core.common.errors import UserError
from steps.core.common.text import printable
from steps.core.gate.champion import Champion, compare, unreadable
from steps.core.gate.clustered_errors import Errors, Needed, Rate, Sizes, needed
from steps.core.gate.held_out import HeldOut, faults_between, faults_of
from steps.core.gate.limits import Fleet, Limits
from steps.core.gate.paired import paired_gain
from steps.core.gate.slices import Slice, Status, check_slices
from steps.core.gate.statistics import percent
from steps.core.gate.test_set_ledger import Consultation, consultations
from steps.core.gate.threshold import OperatingPoint, choose_threshold
from steps.core.gate.verdict import Verdict

_SLICES_NAMED = 5
_BASELINE = "a logistic regression on whole screenshots"


def run_gate(
    calibration: HeldOut,
    test: HeldOut,
    limits: Limits,
    *,
    champion: Champion | UserError | None = None,
    ledger: Sequence[Consultation] | UserError = (),
    baseline: Mapping[str, float] | None = None,
    fleet: Fleet | None = None,
    look: str = "",
) -> Verdict:
    """Decide on a model by its scores on both held-out splits; what is not known fails, nothing raises.

    `champion` is None if there is none; an error says why it, or the ledger, cannot be read. `baseline` holds a plain
    model's scores by id, to which the ranking must not be proven inferior. `look` names the present consultation, if
    the ledger may already hold it.
    """
    fleet, unread, wear = fleet or Fleet(), [], None
    if isinstance(ledger, UserError):
        unread = [f"The ledger of looks at the test split cannot be read: {printable(str(ledger))}"]
    comparison = unreadable(champion, limits) if isinstance(champion, UserError) else None
    if faults := [*faults_of("calibration", calibration), *faults_of("test", test)]:
        reasons = (*faults, *(comparison.reasons if comparison else ()), *unread)
        return Verdict(limits, None, None, None, 0, reasons, champion=comparison, fleet=fleet)
    negative, codes = test.labels == 0, test.codes()
    ours = calibration.labels == 0
    point = choose_threshold(calibration.scores[ours], calibration.codes()[ours], limits, Sizes.of(codes[negative]))
    flagged = test.scores > point.threshold
    alarms = Errors.of(flagged[negative], codes[negative])
    fpr = Rate.grouped(flagged[negative], codes[negative], limits.confidence)
    tpr = Rate.grouped(flagged[~negative], codes[~negative], limits.confidence)
    missing = needed(alarms, limits.max_fpr, limits.confidence) if fpr.upper > limits.max_fpr else Needed()
    slices = check_slices(test, flagged, limits)
    if isinstance(champion, Champion):
        comparison = compare(champion, test, flagged, limits)
    gain = None
    if baseline is not None:
        others = np.array([baseline[name] for name in test.named()], np.float64)
        gain = paired_gain(test.scores, others, test.labels, codes)
    if not isinstance(ledger, UserError):
        wear = consultations(ledger, test.named(), look)
    reasons = (
        *faults_between(calibration, test),
        *_calibration_failures(point),
        *_rate_failures(fpr, tpr, missing, limits),
        *_slice_failures(slices),
        *(comparison.reasons if comparison else ()),
        *([f"The model ranks worse than the baseline, {_BASELINE}: {gain}."] if gain and gain.lost else ()),
        *unread,
    )
    return Verdict(
        limits=limits,
        point=point,
        fpr=fpr,
        tpr=tpr,
        negatives_missing=missing.screenshots,
        reasons=reasons,
        groups_missing=missing.groups,
        slices=tuple(slices),
        champion=comparison,
        gain=gain,
        wear=wear,
        fpr_upper_of_all_looks=alarms.upper(wear.confidence(limits.confidence)) if wear else None,
        fleet=fleet,
    )


def _calibration_failures(point: OperatingPoint) -> list[str]:
    if not point.missing:
        return []
    groups = f" in {point.missing_groups} new groups" if point.missing_groups < point.missing else ""
    counted = f"{point.calibration}{_counted(point.groups, point.calibration, point.effective)}"
    few = "The calibration split has too few negatives to guarantee a threshold"
    return [f"{few}: it has {counted}. Needed are {point.missing} more{groups}."]


def _rate_failures(fpr: Rate, tpr: Rate, missing: Needed, limits: Limits) -> Iterator[str]:
    if fpr.upper > limits.max_fpr:
        if fpr.value > limits.max_fpr:
            yield "The measured rate itself is above the limit: the model raises too many false alarms."
        groups = f", in {missing.groups} new groups," if missing.groups < missing.screenshots else ""
        alarms = "1 false alarm" if fpr.count == 1 else f"{fpr.count} false alarms"
        yield (
            f"{fpr.trials} test negatives{_counted(fpr.groups, fpr.trials, fpr.effective)} cannot prove the limit with "
            f"{alarms}: {missing.screenshots} more{groups} without a further one are needed."
        )
    if tpr.lower < limits.min_tpr:
        yield (
            f"Share of positives found {percent(tpr.value)}, {tpr.count} of {tpr.trials}"
            f"{_counted(tpr.groups, tpr.trials, tpr.effective)}, lower bound {percent(tpr.lower)}, is under the floor "
            f"of {percent(limits.min_tpr)}."
        )


def _counted(groups: int, screenshots: int, effective: float) -> str:
    return f" (of {groups} groups, worth {effective:.0f} independent ones)" if groups < screenshots else ""


def _slice_failures(slices: Sequence[Slice]) -> Iterator[str]:
    failed = [part for part in slices if part.status is Status.FAILED]
    for part in failed[:_SLICES_NAMED]:
        yield f"Slice {part.column} = {part.value}: {part.note}."
    if len(failed) > _SLICES_NAMED:
        yield f"{len(failed) - _SLICES_NAMED} more slices fail."
