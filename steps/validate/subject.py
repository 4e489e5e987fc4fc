"""The subject of the rules: an admitted snapshot, its circumstances, and figures that several rules share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from steps.core.dataset.classes import Classes
from steps.core.dataset.labels import CLASS_NAME
from steps.core.dataset.tables import SLICE_PREFIX
from steps.core.gate.provable import Provable
from steps.validate.admission import Validation
from steps.validate.drift import CATEGORIES, Comparison, features_of
from steps.validate.label_agreement import Changes, label_changes
from steps.validate.shortcuts import Probe, feature_sets, probe, pure_values

_VALUES_OF_A_SLICE, _MOST_VALUES = 50, 500


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a snapshot is compared with.

    previous: the labels of the snapshot before, 0 or 1 by id, None for a first one; `contested` are those of its
    screenshots that rows of a new batch contradict.
    new_rows, new_refused: how many rows the batches brought that the snapshot before does not have, and how many of
    them were refused. `rows_of` counts the rows of each batch; `limits` are limits other than the rules' own.
    """

    comparisons: Sequence[Comparison] = ()
    previous: "pd.Series[int] | None" = None
    contested: frozenset[str] = frozenset()
    new_rows: int = 0
    new_refused: int = 0
    unused_files: int = 0
    rows_of: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """A snapshot as the rules see it; what is costly is computed once, when it is first asked for."""

    validation: Validation
    classes: Classes
    given: Circumstances

    @property
    def accepted(self) -> pd.DataFrame:
        return self.validation.accepted

    @property
    def names(self) -> tuple[str, str]:
        return self.classes.negative, self.classes.positive

    @cached_property
    def labels(self) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        return self.accepted["label"].to_numpy(np.int64)

    @cached_property
    def columns(self) -> Mapping[str, "pd.Series[str]"]:
        """The columns whose values may give the label away: size, orientation, format, and the slices."""
        accepted, features = self.accepted, features_of(self.accepted)
        slices = {str(c).removeprefix(SLICE_PREFIX): accepted[c] for c in accepted if str(c).startswith(SLICE_PREFIX)}
        # A slice may have any name: what was measured goes before what the data say of themselves. And what they call
        # a label is the label.
        own = {name: values for name, values in slices.items() if name not in {*CATEGORIES, "group", CLASS_NAME}}
        # Near as many values as screenshots: a name or a number of each, not a slice.
        few = min(max(_VALUES_OF_A_SLICE, len(accepted) // 20), _MOST_VALUES)
        few_valued = {name: values for name, values in own.items() if 1 < values.nunique() <= few}
        return {name: features[name] for name in CATEGORIES} | few_valued

    @cached_property
    def pure(self) -> pd.DataFrame:
        """The values that give the label away."""
        return pure_values(self.columns, self.labels, self.accepted["group"])

    @cached_property
    def probes(self) -> Mapping[str, Probe]:
        """How well trivial facts predict the label, by rule; without those that cannot be measured."""
        groups = self.accepted["group"].to_numpy()
        found = {name: probe(facts, self.labels, groups) for name, facts in feature_sets(self.accepted).items()}
        return {f"shortcut-{name}": one for name, one in found.items() if one is not None}

    @cached_property
    def provable(self) -> Provable:
        """What the gate's rates can be proven to be by the test screenshots."""
        return Provable.of(self.accepted)

    @cached_property
    def changes(self) -> Changes | None:
        """What became of the labels of the snapshot before."""
        before = self.given.previous
        if before is None:
            return None
        return label_changes(before, self.accepted.set_index("id")["label"], self.given.contested)
