"""Judging: threshold from calibration, proof on test, slices, champion and ledger, into one verdict."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from steps.core.common.text import printable
from steps.core.gate.champion import Champion, ChampionUnreadable, compare, unreadable
from steps.core.gate.clustered_errors import Errors, Needed, Sizes, needed, renumbered
from steps.core.gate.held_out import Decided, HeldOut, faults_between, faults_of
from steps.core.gate.limits import Fleet, Limits
from steps.core.gate.paired import Gain, paired_gain
from steps.core.gate.rates import Rate, percent
from steps.core.gate.slices import Slice, Status, judge_slices
from steps.core.gate.test_set_ledger import Consultation, LedgerUnreadable, consultations
from steps.core.gate.threshold import OperatingPoint, choose_threshold
from steps.core.gate.verdict import Verdict

_SLICES_NAMED = 5


def judge(
    calibration: HeldOut,
    test: HeldOut,
    limits: Limits,
    *,
    champion: Champion | ChampionUnreadable | None = None,
    ledger: Sequence[Consultation] | LedgerUnreadable = (),
    baseline: Mapping[str, float] | None = None,
    fleet: Fleet | None = None,
    look: str = "",
) -> Verdict:
    """Judge a model by its scores on both held-out splits; what is not known fails, nothing raises.

    `champion` is None if there is none. `baseline` holds a plain model's scores by id, to which the ranking must not be
    proven inferior. `look` names the present consultation, if the ledger may already hold it.
    """
    fleet = fleet or Fleet()
    unread = _ledger_failures(ledger)
    if faults := [*faults_of("calibration", calibration), *faults_of("test", test)]:
        comparison = unreadable(champion, limits) if isinstance(champion, ChampionUnreadable) else None
        reasons = (*faults, *(comparison.reasons if comparison else ()), *unread)
        return Verdict(limits, None, None, None, 0, reasons, champion=comparison, fleet=fleet)
    negative, codes = test.labels == 0, test.codes()
    point = _threshold(calibration, test, limits)
    flagged = test.scores > point.threshold
    alarms = Errors.of(flagged[negative], renumbered(codes[negative]))
    fpr = Rate.grouped(flagged[negative], renumbered(codes[negative]), limits.confidence)
    tpr = Rate.grouped(flagged[~negative], renumbered(codes[~negative]), limits.confidence)
    missing = needed(alarms, limits.max_fpr, limits.confidence) if fpr.upper > limits.max_fpr else Needed()
    decided = Decided(test.named(), flagged, test.labels, codes)
    slices = judge_slices(test.slices, decided, limits)
    comparison = None if champion is None else compare(champion, decided, limits)
    gain = None if baseline is None else _against(baseline, test)
    wear = None if isinstance(ledger, LedgerUnreadable) else consultations(ledger, decided.names, look)
    upper = alarms.upper(wear.confidence(limits.confidence)) if wear else None
    reasons = (
        *faults_between(calibration, test),
        *_calibration_failures(point),
        *_rate_failures(fpr, tpr, missing, limits),
        *_slice_failures(slices),
        *(comparison.reasons if comparison else ()),
        *(_baseline_failures(gain) if gain else ()),
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
        fpr_upper_of_all_looks=upper,
        fleet=fleet,
    )


def _against(baseline: Mapping[str, float], test: HeldOut) -> Gain:
    others = np.array([baseline[name] for name in test.named()], np.float64)
    return paired_gain(test.scores, others, test.labels, test.codes())


def _baseline_failures(gain: Gain) -> Iterator[str]:
    if gain.lost:
        yield f"The model ranks worse than the baseline, a logistic regression on whole screenshots: {gain}."


def _threshold(calibration: HeldOut, test: HeldOut, limits: Limits) -> OperatingPoint:
    ours, theirs = calibration.labels == 0, test.labels == 0
    sizes = Sizes.of(renumbered(test.codes()[theirs]))
    return choose_threshold(calibration.scores[ours], renumbered(calibration.codes()[ours]), limits, sizes)


def _ledger_failures(ledger: Sequence[Consultation] | LedgerUnreadable) -> list[str]:
    if isinstance(ledger, LedgerUnreadable):
        return [f"The ledger of looks at the test split cannot be read: {printable(ledger.reason)}"]
    return []


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
