"""The page composed from an examination: what it says, and which screenshots it shows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from steps.core.dataset.snapshot import Batch
from steps.core.dataset.splits import Split
from steps.core.dataset.tables import Quarantined
from steps.validate import page
from steps.validate.drift_comparison import CATEGORIES, Comparison
from steps.validate.examination import Examination
from steps.validate.remedy import How, decision
from steps.validate.rule import Finding, Severity, counted
from steps.validate.summary import verdict_of

_EXAMPLES = 12
_PAIRS = 24
_ROWS = 60
_SAMPLE = 5_000
_PROBES = {"shortcut-size": "size and orientation", "shortcut-colour": "colour and brightness", "shortcut-file": "file"}


def wanted_pictures(examined: Examination) -> set[str]:
    """Return the ids of the screenshots that the page shows."""
    found = {screenshot for finding in examined.findings for screenshot in finding.ids[:_EXAMPLES]}
    pairs = _shown_pairs(examined)
    found |= set(pairs["a"]) | set(pairs["b"])
    return found | {row.sha256 for row in examined.subject.validation.quarantined[:_ROWS] if row.sha256}


def compose(
    examined: Examination,
    batches: Sequence[Batch],
    rows: pd.DataFrame,
    *,
    since: tuple[str, Sequence[str]] | None,
    subject: Mapping[str, str],
) -> page.Page:
    """Compose the page. rows: all usable rows of the snapshot; since: the snapshot before, by name, and its batches."""
    return _Composer(examined, batches, rows, since).compose(subject)


def _shown_pairs(examined: Examination) -> pd.DataFrame:
    order = {"labels contradict": 0, "across splits": 1, "same label": 2}
    pairs = examined.subject.validation.pairs
    return pairs.assign(rank=pairs["what"].map(order)).sort_values(["rank", "a", "b"]).head(_PAIRS)


class _Composer:
    def __init__(
        self,
        examined: Examination,
        batches: Sequence[Batch],
        rows: pd.DataFrame,
        since: tuple[str, Sequence[str]] | None,
    ) -> None:
        self._examined, self._batches, self._since = examined, batches, since
        self._subject, self._accepted, self._names = examined.subject, examined.subject.accepted, examined.subject.names
        columns, shown = ["id", "label", "batch", "row", "group"], wanted_pictures(examined)
        # What was settled goes before what a row said.
        told = pd.concat([table.loc[table["id"].isin(shown), columns] for table in (rows, self._accepted)])
        self._known = {screenshot: about for screenshot, *about in told.itertuples(index=False)}
        self._captions = {i: caption for finding in examined.findings for i, caption in finding.captions.items()}

    def compose(self, subject: Mapping[str, str]) -> page.Page:
        examined = self._examined
        return page.Page(
            title="Training data",
            verdict=verdict_of(examined),
            message=self._message(),
            classes=self._names,
            findings=[self._finding(finding) for finding in examined.findings],
            counts=self._counts(),
            changes=self._changes(),
            drift=[_drift(comparison) for comparison in self._subject.given.comparisons],
            composition=self._composition(),
            duplicates=[
                page.Pair(self._example(row["a"]), self._example(row["b"]), row["distance"], row["what"])
                for row in _shown_pairs(examined).to_dict("records")
            ],
            duplicates_total=len(self._subject.validation.pairs),
            galleries=self._galleries(),
            quarantine=[self._refused(row) for row in self._subject.validation.quarantined[:_ROWS]],
            subject=subject,
        )

    def _message(self) -> str:
        stops = self._examined.stops
        if stops:
            return stops[0].text
        accepted, refused = len(self._accepted), len(self._subject.validation.quarantined)
        fired = sum(f.fired and f.rule.severity is Severity.NOTE for f in self._examined.findings)
        kept_out = f"{counted(refused, 'row')} kept out" if refused else "no row is kept out"
        known = f"{counted(fired, 'thing')} to know before trusting them" if fired else "nothing odd about them"
        return f"{counted(accepted, 'screenshot')} may be learned from, {kept_out}; {known}. {self._subject.provable}"

    def _finding(self, finding: Finding) -> page.Finding:
        rule = finding.rule
        return page.Finding(
            rule=rule.name,
            severity=rule.severity,
            title=rule.title,
            text=finding.text,
            measured=finding.measured,
            limit=rule.shown_limit,
            fired=finding.fired,
            examples=self._examples(finding),
        )

    def _examples(self, finding: Finding) -> list[page.Example]:
        return [self._example(shown, finding.captions.get(shown)) for shown in finding.ids[:_EXAMPLES]]

    def _example(self, screenshot: str, caption: str | None = None) -> page.Example:
        caption = caption or self._captions.get(screenshot, "")
        label, batch, row, group = self._known.get(screenshot, (None, "", 0, ""))
        name = self._names[int(label)] if label is not None and pd.notna(label) else ""
        return page.Example(screenshot, caption, name, batch, row, group if isinstance(group, str) else "", screenshot)

    def _refused(self, row: Quarantined) -> page.QuarantinedRow:
        return page.QuarantinedRow(row.batch, row.row, row.source_ref, row.reason, row.detail, row.sha256)

    def _counts(self) -> page.Counts:
        accepted, refused = self._accepted, self._subject.validation.quarantined
        out, taken = Counter(row.batch for row in refused), accepted["batch"].value_counts()
        old = set(self._since[1]) if self._since else set()
        return page.Counts(
            rows=len(accepted) + len(refused) + self._subject.validation.decisions,
            accepted=len(accepted),
            groups=accepted["group"].nunique(),
            per_class=self._per_class(accepted),
            quarantined=dict(Counter(row.reason for row in refused).most_common()),
            splits=[
                page.Tally(str(split), *self._per_class(accepted[accepted["split"] == str(split)])) for split in Split
            ],
            batches=[
                page.BatchCount(
                    name=batch.name,
                    kind=batch.kind,
                    added=batch.added,
                    rows=int(taken.get(batch.name, 0)) + out[batch.name],
                    accepted=int(taken.get(batch.name, 0)),
                    quarantined=out[batch.name],
                    new=self._since is not None and batch.name not in old,
                )
                for batch in self._batches
            ],
        )

    def _per_class(self, frame: pd.DataFrame) -> tuple[int, int]:
        return int((frame["label"] == 0).sum()), int((frame["label"] == 1).sum())

    def _changes(self) -> page.Changes | None:
        changes = self._subject.changes
        if changes is None or self._since is None:
            return None
        name, before = self._since
        new = [batch.name for batch in self._batches if batch.name not in before]
        added = self._accepted[self._accepted["batch"].isin(new)]
        old_groups = set(self._accepted.loc[~self._accepted["batch"].isin(new), "group"])
        relabelled = []
        for screenshot in changes.changed[:_EXAMPLES]:
            after = int(self._known[screenshot][0])
            example = self._example(screenshot)
            relabelled.append(page.LabelChange(example, self._names[1 - after], self._names[after]))
        refused = Counter(row.reason for row in self._subject.validation.quarantined if row.batch in new)
        return page.Changes(
            since=name,
            batches=new,
            added=self._per_class(added),
            groups=len(set(added["group"]) - old_groups),
            quarantined=dict(refused),
            relabelled=relabelled,
            relabelled_total=len(changes.changed),
        )

    def _composition(self) -> page.Composition:
        columns = dict(self._subject.columns)
        tables = {name: self._tallies(name, columns.pop(name)) for name in ("size", "orientation", "format")}
        brightness = [
            self._accepted.loc[self._accepted["label"] == i, "brightness"].to_numpy(np.float64) for i in (0, 1)
        ]
        probes = [
            page.Probe(
                name=_PROBES[finding.rule.name],
                auc=probe.auc,
                lower=probe.lower,
                upper=probe.upper,
                limit=finding.rule.limit,
                verdict="odd" if finding.fired else "fine",
            )
            for finding in self._examined.findings
            if (probe := self._subject.probes.get(finding.rule.name))
        ]
        return page.Composition(
            tables=tables,
            columns={name: self._tallies(name, values) for name, values in columns.items()},
            brightness=(brightness[0], brightness[1]),
            probes=probes,
        )

    def _tallies(self, column: str, values: "pd.Series[str]") -> list[page.Tally]:
        pure = self._subject.pure
        marked = set(pure.loc[pure["column"] == column, "value"])
        counts = pd.crosstab(values, self._accepted["label"]).reindex(columns=[0, 1], fill_value=0)
        counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
        return [
            page.Tally(str(value), int(row[0]), int(row[1]), str(value) in marked) for value, row in counts.iterrows()
        ]

    def _galleries(self) -> list[page.Gallery]:
        return [
            page.Gallery(*finding.rule.gallery, self._examples(finding), len(finding.ids), self._commands(finding))
            for finding in self._examined.findings
            if finding.rule.gallery and finding.ids
        ]

    def _commands(self, finding: Finding) -> list[str]:
        """Return what a reviewer types to decide on the first screenshot, a command for each class."""
        remedy = finding.rule.remedy
        decides = remedy is not None and remedy.how is How.DECIDE
        return [decision(finding.ids[0], name) for name in self._names] if decides else []


def _drift(comparison: Comparison) -> page.Comparison:
    def values(frame: pd.DataFrame, feature: str) -> Any:
        if feature in CATEGORIES:
            return {str(value): int(count) for value, count in frame[feature].value_counts().items()}
        if feature not in frame:
            return np.empty(0)
        column = frame[feature].to_numpy(np.float64)
        # Every k-th: a histogram of thousands looks like one of millions.
        return column[:: max(1, len(column) // _SAMPLE)]

    return page.Comparison(
        against=comparison.against,
        text=comparison.text,
        n_base=len(comparison.base),
        n_new=len(comparison.new),
        features=[
            page.Feature(
                feature=drift.feature,
                distance=drift.distance,
                lower=drift.lower,
                limit=drift.limit,
                drifted=drift.drifted,
                base=values(comparison.base, drift.feature),
                new=values(comparison.new, drift.feature),
            )
            for drift in comparison.drifts
        ],
        slices=[
            page.SliceDrift(found.column, found.value, found.drift.feature, found.drift.distance, found.drift.lower)
            for found in comparison.drifted_slices
        ],
    )
