"""Slices: the model has to be good in every orientation, size, theme and source where there is enough data to tell.

A *slice* is one value of a slice column: a column of 2 to 50 distinct values
that does not merely name the groups. What holds a class whole, as its name does, repeats the result of the whole test
split and is none. To ask every slice for proof would fail
every model for want of data, and to ask none would hide a bad one, so by amount of data:

1. *Too small*: fewer than 30 effective groups (Kish). It is listed with what is wanted, and not judged.
2. *Proven bad*: its FPR is proven above the limit, or its TPR under the floor. FAIL. Holm's procedure over all slices
   and both rates: if no slice is bad, some slice is called so in at most 5 %.
3. *Enough data*: were it as good as the whole test split is proven to be, it would prove its limit, and all slices
   together would, in at least 95 % (Bonferroni). Such a slice has to prove it: upper bound of the FPR within the limit,
   lower bound of the TPR above the floor. FAIL if not. That *all* of them have to prove it needs no further correction
   (an intersection-union test): a model that breaks the limit in one of them passes in at most 5 %.
4. *Open*: judged, neither proven good nor bad. It is listed, and fails nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from steps.core.common.text import printable
from steps.core.gate.clustered_errors import Codes, Errors, Rate
from steps.core.gate.held_out import HeldOut, Labels
from steps.core.gate.limits import Limits
from steps.core.gate.statistics import at_least, errors_allowed, holm, percent

MAX_VALUES = 50
MIN_EFFECTIVE = 30
_SHOWN = 80


class Status(StrEnum):
    FAILED = "failed"
    PROVEN = "proven"
    OPEN = "open"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice of the test split: its rates (None without such screenshots), its status and a note that explains it."""

    column: str
    value: str
    negatives: int
    positives: int
    fpr: Rate | None
    tpr: Rate | None
    status: Status
    note: str


@dataclass(slots=True)
class _Measure:
    """One rate of one slice. `errors` are what there should be few of: false alarms, or misses."""

    kind: str
    rate: Rate
    errors: Errors
    limit: float
    status: Status = Status.OPEN
    note: str = ""


def check_slices(test: HeldOut, flagged: npt.NDArray[np.bool_], limits: Limits) -> list[Slice]:
    """Check the [n] decisions on the test split in every slice of it, by the rule above."""
    labels, codes = test.labels, test.codes()
    wholes = {kind: _errors(kind, flagged[labels == label], codes[labels == label]) for kind, label in _LABELS.items()}
    found: list[tuple[str, str, list[_Measure]]] = []
    for column, value, members in _slices(test.slices, codes):
        if not _is_whole(members, labels):
            kinds = ((kind, members[labels[members] == label]) for kind, label in _LABELS.items())
            some = [_measure(kind, flagged[rows], codes[rows], limits) for kind, rows in kinds if len(rows)]
            found.append((column, value, some))
    judged = [measure for _, _, some in found for measure in some if measure.status is Status.OPEN]
    bad = holm(np.array([_p_value(measure) for measure in judged]), limits.alpha)
    for measure, proven_bad in zip(judged, bad, strict=True):
        must = _must_prove(measure, wholes[measure.kind], limits, len(judged))
        _settle(measure, proven_bad=bool(proven_bad), must_prove=must)
    return [_slice(*part) for part in found]


_LABELS = {"fpr": 0, "tpr": 1}
_NAMES = {"fpr": ("negatives", "false-alarm rate"), "tpr": ("positives", "share found")}


def _slices(columns: Mapping[str, Sequence[Any]], codes: Codes) -> Iterator[tuple[str, str, npt.NDArray[np.intp]]]:
    """Yield every slice with the rows in it; what has no value is in none."""
    for name, values in columns.items():
        texts = pd.Series(np.asarray(values, dtype=object), index=range(len(codes)))
        texts = texts.where(texts.isna(), texts.map(str))
        numbers, distinct = pd.factorize(texts, sort=True)
        if not 1 < len(distinct) <= MAX_VALUES or _are_the_groups(numbers, codes):
            continue
        for number, value in enumerate(distinct):
            yield printable(name, _SHOWN), printable(value, _SHOWN), np.flatnonzero(numbers == number)


def _are_the_groups(numbers: Codes, codes: Codes) -> bool:
    """Tell whether every value is of one group alone, as an app's name is: no amount of data could prove it."""
    groups = pd.Series(codes[numbers >= 0]).groupby(numbers[numbers >= 0]).nunique()
    return bool((groups <= 1).all()) and bool(pd.Series(codes).duplicated().any())


def _is_whole(members: npt.NDArray[np.intp], labels: Labels) -> bool:
    """Tell whether the rows are all of a class and none of the other, or all there are."""
    mine, all_there_are = (np.bincount(rows, minlength=2) for rows in (labels[members], labels))
    return bool(((mine == 0) | (mine == all_there_are)).all())


def _errors(kind: str, flagged: npt.NDArray[np.bool_], codes: Codes) -> Errors:
    return Errors.of(flagged if kind == "fpr" else ~flagged, codes)


def _measure(kind: str, flagged: npt.NDArray[np.bool_], codes: Codes, limits: Limits) -> _Measure:
    errors = _errors(kind, flagged, codes)
    limit = limits.max_fpr if kind == "fpr" else 1 - limits.min_tpr
    measure = _Measure(kind, Rate.grouped(flagged, codes, limits.confidence), errors, limit)
    if errors.sizes.effective_groups < MIN_EFFECTIVE:
        measure.status = Status.NOT_JUDGED
        groups = f" in {errors.sizes.groups} groups" if errors.sizes.groups < len(flagged) else ""
        wanted = f"{MIN_EFFECTIVE} independent ones wanted"
        measure.note = f"not judged: {len(flagged)} {_NAMES[kind][0]}{groups}, {wanted}"
    return measure


def _p_value(measure: _Measure) -> float:
    """Return the chance of so many errors if the slice were just within its limit."""
    errors = measure.errors
    effect = errors.right().design_effect
    return at_least(errors.total / effect, errors.sizes.screenshots / effect, measure.limit)


def _must_prove(measure: _Measure, whole: Errors, limits: Limits, judged: int) -> bool:
    sizes, proven = measure.errors.sizes, whole.upper(limits.confidence)
    effect = sizes.expected_design_effect(proven, whole.sizes.correlation(whole.design_effect))
    trials = int(sizes.screenshots / effect)
    allowed = errors_allowed(trials, measure.limit, limits.confidence)
    return allowed >= 0 and bool(stats.binom.cdf(allowed, trials, proven) >= 1 - limits.alpha / judged)


def _settle(measure: _Measure, *, proven_bad: bool, must_prove: bool) -> None:
    rate, fpr = measure.rate, measure.kind == "fpr"
    kind, bound = ("upper", rate.upper) if fpr else ("lower", rate.lower)
    within = rate.upper <= measure.limit if fpr else rate.lower >= 1 - measure.limit
    limit = percent(measure.limit if fpr else 1 - measure.limit)
    name = _NAMES[measure.kind][1]
    said = f"{name} {percent(rate.value)} ({rate.count} of {rate.trials})"
    unproven = f"{said}, {kind} bound {percent(bound)}, does not prove {limit}"
    if proven_bad:
        measure.status, measure.note = Status.FAILED, f"{said} is proven {'above' if fpr else 'under'} {limit}"
    elif within:
        measure.status = Status.PROVEN
    elif must_prove:
        measure.status, measure.note = Status.FAILED, f"{unproven} though there is enough data"
    else:
        measure.note = f"too little data to tell: {unproven}"


def _slice(column: str, value: str, measures: Sequence[_Measure]) -> Slice:
    by_kind = {measure.kind: measure for measure in measures}
    statuses = [measure.status for measure in measures]
    worst = next(s for s in (Status.FAILED, Status.NOT_JUDGED, Status.OPEN, Status.PROVEN) if s in statuses)
    if worst is Status.NOT_JUDGED and set(statuses) != {Status.NOT_JUDGED}:
        worst = Status.OPEN
    rates = {kind: by_kind[kind].rate if kind in by_kind else None for kind in _LABELS}
    counts = {kind: rate.trials if rate else 0 for kind, rate in rates.items()}
    note = "; ".join(measure.note for measure in measures if measure.note)
    return Slice(column, value, counts["fpr"], counts["tpr"], rates["fpr"], rates["tpr"], worst, note)
