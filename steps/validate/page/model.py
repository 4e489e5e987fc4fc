"""What the validation page shows, ready to be drawn: counts, sentences and keys of pictures, no tables to search.

A count "per class" is always (negative, positive). Every text may come from a stranger's manifest: the page cleans,
shortens and escapes all of it. Sequences may be longer than the page shows; where the caller cuts one, `total` says
how many there are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from steps.validate.rule import Severity

Verdict: TypeAlias = Literal["good", "good, with notes", "stopped"]
Relation: TypeAlias = Literal["labels contradict", "across splits", "same label"]
# Numbers, at most a few thousand (those that are not finite are left out of plots), or how often each value occurs.
Values: TypeAlias = npt.NDArray[np.float64] | Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled screenshot to look at; `id` is its sha256, `label` the name of its class, `image` its picture's key.

    `caption` says why it is shown: "brightness 0.03". What is not known of it is "".
    """

    id: str
    caption: str
    label: str
    batch: str
    row: int
    group: str
    image: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of the rule called `rule`; `measured` and `limit` as people read them ("3.1 %"), `limit` may be ""."""

    rule: str
    severity: Severity
    title: str
    text: str
    measured: str
    limit: str
    fired: bool
    examples: Sequence[Example] = ()


@dataclass(frozen=True, slots=True)
class Tally:
    """How many screenshots of each class have a value; `pure` marks one that gives the label away."""

    value: str
    negative: int
    positive: int
    pure: bool = False

    @property
    def total(self) -> int:
        return self.negative + self.positive


@dataclass(frozen=True, slots=True)
class BatchCount:
    """A batch: its rows, how many were accepted and refused, and whether the previous snapshot lacks it."""

    name: str
    kind: str
    added: str
    rows: int
    accepted: int
    quarantined: int
    new: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """The set in numbers.

    quarantined: rows by reason. splits: accepted screenshots of each split. batches: in the order of adding.
    """

    rows: int
    accepted: int
    groups: int
    per_class: tuple[int, int]
    quarantined: Mapping[str, int]
    splits: Sequence[Tally]
    batches: Sequence[BatchCount]


@dataclass(frozen=True, slots=True)
class LabelChange:
    """A screenshot whose label was the class `before` and is the class `after`."""

    example: Example
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What is new since the previous snapshot: accepted screenshots per class, groups, rows quarantined by reason."""

    since: str
    batches: Sequence[str]
    added: tuple[int, int]
    groups: int
    quarantined: Mapping[str, int]
    relabelled: Sequence[LabelChange] = ()
    relabelled_total: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """Two samples of one feature: their distance in 0..1, its lower confidence bound, and the limit on that bound."""

    feature: str
    distance: float
    lower: float
    limit: float
    drifted: bool
    base: Values
    new: Values


@dataclass(frozen=True, slots=True)
class SliceDrift:
    """The distance of one feature within the screenshots whose column `slice` has `value`."""

    slice: str
    value: str
    feature: str
    distance: float
    lower: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The new screenshots against others: "the champion's training data", "the production reference sample"."""

    against: str
    text: str
    n_base: int
    n_new: int
    features: Sequence[Feature]
    slices: Sequence[SliceDrift] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """How well some trivial facts alone predict the label: AUC, its interval, and the limit from which it is odd."""

    name: str
    auc: float
    lower: float
    upper: float
    limit: float
    verdict: str


@dataclass(frozen=True, slots=True)
class Composition:
    """What the accepted screenshots look like; `brightness` is the mean luma in 0..1 of the two classes' screenshots.

    columns: slice columns and the values in them. A table is a mapping from its name to its tallies, most first.
    """

    tables: Mapping[str, Sequence[Tally]] = field(default_factory=dict)
    columns: Mapping[str, Sequence[Tally]] = field(default_factory=dict)
    brightness: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None
    probes: Sequence[Probe] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """Two near-duplicates: `distance` in bits of their perceptual hashes."""

    a: Example
    b: Example
    distance: int
    what: Relation


@dataclass(frozen=True, slots=True)
class Gallery:
    """Screenshots that belong together; `commands` are what a reviewer types to decide on them."""

    heading: str
    note: str
    examples: Sequence[Example]
    total: int
    commands: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A refused row; `image` is "" where there is no picture of it."""

    batch: str
    row: int
    source: str
    reason: str
    detail: str
    image: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """All of it. `classes` are the names (negative, positive); `changes` is None for a first snapshot.

    subject: what was judged, and by which rules: snapshot, previous one, versions.
    """

    title: str
    verdict: Verdict
    message: str
    classes: tuple[str, str]
    findings: Sequence[Finding]
    counts: Counts
    changes: Changes | None = None
    drift: Sequence[Comparison] = ()
    composition: Composition = field(default_factory=Composition)
    duplicates: Sequence[Pair] = ()
    duplicates_total: int = 0
    galleries: Sequence[Gallery] = ()
    quarantine: Sequence[QuarantinedRow] = ()
    subject: Mapping[str, str] = field(default_factory=dict)
