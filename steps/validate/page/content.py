"""The content of the validation page: counts, sentences, and which screenshots it shows.

Every text may come from a stranger's manifest: the page cleans, shortens and escapes all of it.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from steps.core.dataset.snapshot import Batch
from steps.core.dataset.splits import Split
from steps.core.dataset.tables import Quarantined
from steps.validate.admission import RELATIONS, Validation
from steps.validate.drift import Comparison
from steps.validate.rule import Finding, Severity, counted
from steps.validate.rules import Examination, Verdict
from steps.validate.subject import Subject

# How many of each kind a person may want to look at; lists beyond say what they leave out.
LIMITS = {
    "examples": 12,
    "pairs": 12,
    "plots": 8,
    "bars": 6,
    "features": 40,
    "batches": 30,
    "columns": 30,
    "tallies": 12,
    "quarantine": 40,
    "names": 12,
}


@dataclass(frozen=True, slots=True)
class Screenshot:
    """A labelled screenshot to look at; `id` is its sha256, `label` the name of its class. What is not known is ""."""

    id: str
    label: str = ""
    batch: str = ""
    row: int = 0
    group: str = ""


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
    """Rows of a batch that were accepted and refused; `new` if the previous snapshot lacks it."""

    batch: Batch
    accepted: int
    quarantined: int
    new: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """What is new since the previous snapshot: accepted screenshots per class, groups, rows quarantined by reason.

    relabelled: (id, class before, class now) of the first of `relabelled_total` screenshots.
    """

    since: str
    batches: Sequence[str]
    added: tuple[int, int]
    groups: int
    quarantined: Mapping[str, int]
    relabelled: Sequence[tuple[str, str, str]]
    relabelled_total: int


@dataclass(frozen=True, slots=True)
class Page:
    """All of it. Counts "per class", and `classes`, are (negative, positive); `batches` in the order of adding.

    changes: None for a first snapshot. tables: tallies by the name of a column, most first. brightness: mean luma in
    0..1 of the accepted screenshots of each class. pairs: the first of `pairs_total` near-duplicates, `what` they are
    to each other one of RELATIONS. screenshots: all that are shown, by id. subject: what was validated.
    """

    verdict: Verdict
    message: str
    classes: tuple[str, str]
    findings: Sequence[Finding]
    rows: int = 0
    accepted: int = 0
    groups: int = 0
    per_class: tuple[int, int] = (0, 0)
    splits: Sequence[Tally] = ()
    batches: Sequence[BatchCount] = ()
    changes: Changes | None = None
    drift: Sequence[Comparison] = ()
    tables: Mapping[str, Sequence[Tally]] = field(default_factory=dict)
    brightness: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None
    pairs: Sequence[Mapping[Hashable, Any]] = ()
    pairs_total: int = 0
    quarantine: Sequence[Quarantined] = ()
    screenshots: Mapping[str, Screenshot] = field(default_factory=dict)
    subject: Mapping[str, str] = field(default_factory=dict)


def compose(
    examined: Examination,
    batches: Sequence[Batch],
    rows: pd.DataFrame,
    *,
    since: tuple[str, Sequence[str]] | None,
    subject: Mapping[str, str],
) -> Page:
    """Compose the page. rows: all usable rows of the snapshot; since: the snapshot before, by name, and its batches."""
    seen, validation, accepted = examined.subject, examined.subject.validation, examined.subject.accepted
    pairs = _shown_pairs(validation)
    shown = {screenshot for finding in examined.findings for screenshot in finding.ids[: LIMITS["examples"]]}
    shown |= {*pairs["a"], *pairs["b"], *(row.sha256 for row in validation.quarantined[: LIMITS["quarantine"]])}
    bright = [accepted.loc[accepted["label"] == i, "brightness"].to_numpy(np.float64) for i in (0, 1)]
    return Page(
        verdict=examined.verdict,
        message=_message(examined),
        classes=seen.names,
        findings=examined.findings,
        rows=validation.rows,
        accepted=len(accepted),
        groups=accepted["group"].nunique(),
        per_class=_per_class(accepted),
        splits=[Tally(str(split), *_per_class(accepted[accepted["split"] == str(split)])) for split in Split],
        batches=_batch_counts(validation, batches, since),
        changes=_changes(seen, batches, since),
        drift=seen.given.comparisons,
        tables={name: _tallies(seen, name, values) for name, values in seen.columns.items()},
        brightness=(bright[0], bright[1]),
        pairs=pairs.to_dict("records"),
        pairs_total=len(validation.pairs),
        quarantine=validation.quarantined,
        screenshots=_screenshots(shown - {""}, rows, seen),
        subject=subject,
    )


def _shown_pairs(validation: Validation) -> pd.DataFrame:
    rank = validation.pairs["what"].map({what: at for at, what in enumerate(RELATIONS)})
    return validation.pairs.assign(rank=rank).sort_values(["rank", "a", "b"]).head(LIMITS["pairs"])


def _screenshots(shown: set[str], rows: pd.DataFrame, subject: Subject) -> dict[str, Screenshot]:
    found = {screenshot: Screenshot(screenshot) for screenshot in shown}
    columns = ["id", "label", "batch", "row", "group"]
    # What was settled goes before what a row said.
    known = pd.concat([table.loc[table["id"].isin(shown), columns] for table in (rows, subject.accepted)])
    for screenshot, label, batch, row, group in known.itertuples(index=False):
        name = subject.names[int(label)] if pd.notna(label) else ""
        found[screenshot] = Screenshot(screenshot, name, batch, row, group if isinstance(group, str) else "")
    return found


def _message(examined: Examination) -> str:
    if examined.stops:
        return examined.stops[0].text
    subject = examined.subject
    refused, notes = len(subject.validation.quarantined), sum(f.rule.severity is Severity.NOTE for f in examined.fired)
    kept_out = f"{counted(refused, 'row')} kept out" if refused else "no row is kept out"
    known = f"{counted(notes, 'thing')} to know before trusting them" if notes else "nothing odd about them"
    accepted = counted(len(subject.accepted), "screenshot")
    return f"{accepted} may be learned from, {kept_out}; {known}. {subject.provable}"


def _per_class(frame: pd.DataFrame) -> tuple[int, int]:
    return int((frame["label"] == 0).sum()), int((frame["label"] == 1).sum())


def _batch_counts(
    validation: Validation, batches: Sequence[Batch], since: tuple[str, Sequence[str]] | None
) -> list[BatchCount]:
    refused = Counter(row.batch for row in validation.quarantined)
    taken = Counter(validation.accepted["batch"].tolist())
    return [
        BatchCount(batch, taken[batch.name], refused[batch.name], since is not None and batch.name not in since[1])
        for batch in batches
    ]


def _changes(subject: Subject, batches: Sequence[Batch], since: tuple[str, Sequence[str]] | None) -> Changes | None:
    changes, accepted = subject.changes, subject.accepted
    if changes is None or since is None:
        return None
    name, before = since
    new = [batch.name for batch in batches if batch.name not in before]
    is_new = accepted["batch"].isin(new)
    changed = list(changes.changed[: LIMITS["examples"]])
    now = accepted.set_index("id")["label"].loc[changed].astype(int)
    return Changes(
        since=name,
        batches=new,
        added=_per_class(accepted[is_new]),
        groups=len(set(accepted.loc[is_new, "group"]) - set(accepted.loc[~is_new, "group"])),
        quarantined=Counter(row.reason for row in subject.validation.quarantined if row.batch in new),
        relabelled=[(i, subject.names[1 - at], subject.names[at]) for i, at in zip(changed, now.tolist(), strict=True)],
        relabelled_total=len(changes.changed),
    )


def _tallies(subject: Subject, column: str, values: "pd.Series[str]") -> list[Tally]:
    pure = set(subject.pure.loc[subject.pure["column"] == column, "value"])
    counts = pd.crosstab(values, subject.accepted["label"]).reindex(columns=[0, 1], fill_value=0)
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    return [Tally(str(value), int(row[0]), int(row[1]), str(value) in pure) for value, row in counts.iterrows()]
