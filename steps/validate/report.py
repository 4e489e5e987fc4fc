"""From what is known of a snapshot to what people see: the figures of `validation.json`, and the page."""

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from steps.core.dataset.labels import CLASS_NAME
from steps.core.dataset.snapshot import Batch
from steps.core.dataset.splits import Split
from steps.core.dataset.tables import SLICE_PREFIX, Quarantined
from steps.validate import page
from steps.validate.checks import Examination, counted, value_columns
from steps.validate.drift_comparison import CATEGORIES, Comparison
from steps.validate.rules import RULES, Finding, Severity

_EXAMPLES = 12
_PAIRS = 24
_ROWS = 60
_SAMPLE = 5_000
_PROBES = {"shortcut-size": "size and orientation", "shortcut-colour": "colour and brightness", "shortcut-file": "file"}


def summary(examined: Examination, subject: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `validation.json` holds: counts for the run's summary, and a figure for every rule."""
    accepted, quarantined = examined.validation.accepted, examined.validation.quarantined
    names = (examined.classes.negative, examined.classes.positive)
    labels = accepted["label"]
    column = f"{SLICE_PREFIX}{CLASS_NAME}"
    called = accepted[column] if column in accepted else pd.Series(pd.NA, accepted.index)
    return {
        "version": 2,
        "verdict": _verdict(examined),
        "rows": len(accepted) + len(quarantined) + examined.validation.decisions,
        "accepted": len(accepted),
        "quarantined": len(quarantined),
        "decisions": examined.validation.decisions,
        "quarantined_by_reason": dict(sorted(Counter(row.reason for row in quarantined).items())),
        "groups": int(accepted["group"].nunique()),
        "ungrouped": int((accepted["group"] == accepted["id"]).sum()),
        "names": {str(i): name for i, name in enumerate(names)},
        "class_names": {str(i): sorted(called[labels == i].dropna().unique()) for i in (0, 1)},
        "classes": {name: int((labels == i).sum()) for i, name in enumerate(names)},
        "splits": {
            str(split): {
                name: int(((labels == i) & (accepted["split"] == str(split))).sum()) for i, name in enumerate(names)
            }
            for split in Split
        },
        "near_duplicate_pairs": len(examined.validation.pairs),
        "findings": [
            {
                "rule": finding.rule.name,
                "severity": str(finding.rule.severity),
                "fired": finding.fired,
                "measured": finding.measured,
                "text": finding.text,
            }
            for finding in examined.findings
        ],
        "shortcuts": {
            rule: {"auc": probe.auc, "lower": probe.lower, "upper": probe.upper}
            for rule, probe in examined.probes.items()
        },
        "drift": {
            comparison.rule: {
                drift.feature: {"distance": drift.distance, "lower": drift.lower, "drifted": drift.drifted}
                for drift in comparison.drifts
            }
            for comparison in examined.comparisons
        },
        "drifted_slices": [
            {
                "rule": comparison.rule,
                "column": found.column,
                "value": found.value,
                "feature": found.drift.feature,
                "lower": found.drift.lower,
            }
            for comparison in examined.comparisons
            for found in comparison.drifted_slices
        ],
        "subject": dict(subject),
    }


def wanted_pictures(examined: Examination) -> set[str]:
    """Return the ids of the screenshots that the page shows."""
    found = {screenshot for finding in examined.findings for screenshot in finding.ids[:_EXAMPLES]}
    pairs = _shown_pairs(examined)
    found |= set(pairs["a"]) | set(pairs["b"])
    return found | {row.sha256 for row in examined.validation.quarantined[:_ROWS] if row.sha256}


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


def _verdict(examined: Examination) -> page.Verdict:
    if examined.stops:
        return "stopped"
    return "good, with notes" if any(finding.fired for finding in examined.findings) else "good"


def _shown_pairs(examined: Examination) -> pd.DataFrame:
    order = {"labels contradict": 0, "across splits": 1, "same label": 2}
    pairs = examined.validation.pairs
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
        self._accepted = examined.validation.accepted
        self._names = (examined.classes.negative, examined.classes.positive)
        columns = ["id", "label", "batch", "row", "group"]
        # What was settled goes before what a row said.
        told = pd.concat([rows[columns], self._accepted[columns]])
        self._known = {screenshot: about for screenshot, *about in told.itertuples(index=False)}
        self._captions = {i: reason for odd in examined.odd.values() for i, reason in odd.items()}

    def compose(self, subject: Mapping[str, str]) -> page.Page:
        examined, pairs = self._examined, self._examined.validation.pairs
        verdict = _verdict(examined)
        return page.Page(
            title="Training data",
            verdict=verdict,
            message=self._message(),
            classes=self._names,
            findings=[self._finding(finding) for finding in examined.findings],
            counts=self._counts(),
            changes=self._changes(),
            drift=[_drift(comparison) for comparison in examined.comparisons],
            composition=self._composition(),
            duplicates=[
                page.Pair(self._example(row["a"]), self._example(row["b"]), row["distance"], row["what"])
                for row in _shown_pairs(examined).to_dict("records")
            ],
            duplicates_total=len(pairs),
            galleries=self._galleries(),
            quarantine=[self._refused(row) for row in examined.validation.quarantined[:_ROWS]],
            subject=subject,
        )

    def _message(self) -> str:
        stops = self._examined.stops
        if stops:
            return stops[0].text
        accepted, refused = len(self._accepted), len(self._examined.validation.quarantined)
        fired = sum(f.fired and f.rule.severity is Severity.NOTE for f in self._examined.findings)
        kept_out = f"{counted(refused, 'row')} kept out" if refused else "no row is kept out"
        known = f"{counted(fired, 'thing')} to know before trusting them" if fired else "nothing odd about them"
        return f"{counted(accepted, 'screenshot')} may be learned from, {kept_out}; {known}."

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
            examples=[self._example(screenshot) for screenshot in finding.ids[:_EXAMPLES]],
        )

    def _example(self, screenshot: str) -> page.Example:
        caption = self._captions.get(screenshot, "")
        label, batch, row, group = self._known.get(screenshot, (None, "", 0, ""))
        name = self._names[int(label)] if label is not None and pd.notna(label) else ""
        return page.Example(screenshot, caption, name, batch, row, group if isinstance(group, str) else "", screenshot)

    def _refused(self, row: Quarantined) -> page.QuarantinedRow:
        return page.QuarantinedRow(row.batch, row.row, row.source_ref, row.reason, row.detail, row.sha256)

    def _counts(self) -> page.Counts:
        accepted, refused = self._accepted, self._examined.validation.quarantined
        out, taken = Counter(row.batch for row in refused), accepted["batch"].value_counts()
        old = set(self._since[1]) if self._since else set()
        return page.Counts(
            rows=len(accepted) + len(refused) + self._examined.validation.decisions,
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
        changes = self._examined.changes
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
        refused = Counter(row.reason for row in self._examined.validation.quarantined if row.batch in new)
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
        columns = value_columns(self._accepted)
        tables = {name: self._tallies(name, columns.pop(name)) for name in ("size", "orientation", "format")}
        brightness = [
            self._accepted.loc[self._accepted["label"] == i, "brightness"].to_numpy(np.float64) for i in (0, 1)
        ]
        probes = [
            page.Probe(
                name=_PROBES[rule],
                auc=probe.auc,
                lower=probe.lower,
                upper=probe.upper,
                limit=float(RULES[rule].limit or 0),
                verdict="odd" if probe.auc > float(RULES[rule].limit or 0) else "fine",
            )
            for rule, probe in self._examined.probes.items()
        ]
        return page.Composition(
            tables=tables,
            columns={name: self._tallies(name, values) for name, values in columns.items()},
            brightness=(brightness[0], brightness[1]),
            probes=probes,
        )

    def _tallies(self, column: str, values: "pd.Series[str]") -> list[page.Tally]:
        pure = self._examined.pure
        marked = set(pure.loc[pure["column"] == column, "value"])
        counts = pd.crosstab(values, self._accepted["label"]).reindex(columns=[0, 1], fill_value=0)
        counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
        return [
            page.Tally(str(value), int(row[0]), int(row[1]), str(value) in marked) for value, row in counts.iterrows()
        ]

    def _galleries(self) -> list[page.Gallery]:
        galleries = []
        for name, heading, note in (
            ("label-conflict", "Contradicting labels", "The same bytes, labelled both ways: a reviewer decides."),
            (
                "near-conflict",
                "Contradicting labels",
                "Nearly the same picture, labelled both ways: a reviewer decides.",
            ),
            ("not-phone", "Hardly phone screenshots", "The model will meet phone screenshots only."),
            ("dark", "Darkest", "Even their brightest parts are dark."),
            ("blurry", "Blurry", "No crisp edge: scaled up, or photographed."),
            ("low-information", "Next to nothing to see", "Nearly one colour: is the label in the picture at all?"),
        ):
            ids = next(finding.ids for finding in self._examined.findings if finding.rule.name == name)
            if ids:
                first = ids[0][:12]
                decide = f"tilegate data decide {first} %s --by NAME --reason TEXT"
                named = [decide % shlex.quote(label) for label in self._names]
                commands = named if name.endswith("conflict") else []
                examples = [self._example(screenshot) for screenshot in ids[:_EXAMPLES]]
                galleries.append(page.Gallery(heading, note, examples, len(ids), commands))
        return galleries


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
                limit=float(RULES[comparison.rule].limit or 0),
                drifted=drift.drifted,
                base=values(comparison.base, drift.feature),
                new=values(comparison.new, drift.feature),
            )
            for drift in comparison.drifts
        ],
        slices=list(_slice_drifts(comparison)),
    )


def _slice_drifts(comparison: Comparison) -> Iterable[page.SliceDrift]:
    for found in comparison.drifted_slices:
        yield page.SliceDrift(found.column, found.value, found.drift.feature, found.drift.distance, found.drift.lower)
