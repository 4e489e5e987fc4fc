"""The scored screenshots of a held-out split, and the faults that forbid a verdict on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from steps.core.common.text import printable
from steps.core.gate.clustered_errors import Codes
from steps.core.gate.roc import Scores

Labels = npt.NDArray[np.integer]
_KINDS = ((0, "negatives"), (1, "positives"))


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """A split's [n] screenshots: scores 0 to 1, labels 0 or 1, ids, groups, and slice columns of [n] texts.

    Without `ids` a screenshot is named by its place, and without `groups` each is its own.
    """

    scores: Scores
    labels: Labels
    ids: Sequence[Any] | None = None
    groups: Sequence[Any] | None = None
    slices: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def named(self) -> list[str]:
        return [str(n) for n in range(len(self.scores))] if self.ids is None else [str(name) for name in self.ids]

    def codes(self) -> Codes:
        """Return the [n] groups as numbers from 0."""
        if self.groups is None:
            return np.arange(len(self.scores))
        return pd.factorize(np.asarray(self.groups, dtype=object))[0]


def faults_of(name: str, split: HeldOut) -> list[str]:
    """Name everything that forbids a verdict by rates: a gate that does not know must not pass."""
    count = len(split.scores)
    columns = [split.labels, *(c for c in (split.ids, split.groups) if c is not None), *split.slices.values()]
    if any(len(column) != count for column in columns) or not np.isin(split.labels, (0, 1)).all():
        return [f"The {name} split has {count} scores and labels other than one 0 or 1 for each."]
    found = [
        f"The {name} split holds no {kind}: add labelled data."
        for value, kind in _KINDS
        if not (split.labels == value).any()
    ]
    if broken := int((~np.isfinite(split.scores)).sum()):
        found.append(f"{broken} of {count} scores on the {name} split are not numbers: the model is broken.")
    elif outside := int(((split.scores < 0) | (split.scores > 1)).sum()):
        found.append(f"{outside} of {count} scores on the {name} split are not from 0 to 1: the model is broken.")
    elif count > 1 and (split.scores == split.scores[0]).all():
        found.append(f"All {count} scores on the {name} split are {split.scores[0]:g}: the model tells nothing apart.")
    if twice := count - len(set(split.named())):
        found.append(f"{twice} screenshots of the {name} split are there more than once: each may count once.")
    if split.groups is not None and (lost := int(pd.isna(np.asarray(split.groups, dtype=object)).sum())):
        found.append(f"{lost} screenshots of the {name} split have no group: who errs together is not known.")
    return found


def faults_between(calibration: HeldOut, test: HeldOut) -> list[str]:
    """Name what both splits share: then the threshold has seen what has to verify it."""
    found = []
    for what, ours, theirs in (
        ("screenshot", calibration.ids, test.ids),
        ("group", calibration.groups, test.groups),
    ):
        if ours is not None and theirs is not None and (both := set(ours) & set(theirs)):
            example = printable(str(min(both, key=str)), 80)
            found.append(f"The calibration and the test split share {len(both)} {what}s, such as {example!r}.")
    return found
