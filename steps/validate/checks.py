"""What came of every rule: the rows that were refused, and what is odd about the set as a whole."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from steps.core.common.text import printable
from steps.core.dataset.classes import Classes
from steps.core.dataset.labels import CLASS_NAME
from steps.core.dataset.splits import Split
from steps.core.dataset.tables import SLICE_PREFIX
from steps.validate.admission import Validation
from steps.validate.appearance import is_blurry, is_dark, is_low_information, not_phone_reasons
from steps.validate.drift_comparison import Comparison
from steps.validate.label_agreement import Changes, label_changes, too_many
from steps.validate.rules import RULES, Finding, Rule, Severity
from steps.validate.shortcuts import Probe, feature_sets, probe, pure_values, size_names

# A share of few rows says nothing: a first batch of three may well have one broken file.
_ENOUGH_ROWS = 20
_VALUES_OF_A_SLICE, _MOST_VALUES = 50, 500


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a snapshot is held against.

    previous: the labels of the snapshot before, 0 or 1 by id, None for a first one; `contested` are those of its
    screenshots that rows of a new batch contradict.
    new_rows, new_refused: how many rows the batches brought that the snapshot before does not have, and how many of
    them were refused. `limits` are limits other than the rules' own.
    """

    comparisons: Sequence[Comparison] = ()
    previous: "pd.Series[int] | None" = None
    contested: frozenset[str] = frozenset()
    new_rows: int = 0
    new_refused: int = 0
    unused_files: int = 0
    limits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that is known of a snapshot, as the page and `validation.json` tell it.

    probes: by rule. pure: values that give the label away. odd: for each rule about looks, the reason by id.
    """

    validation: Validation
    classes: Classes
    findings: Sequence[Finding]
    changes: Changes | None
    comparisons: Sequence[Comparison]
    probes: Mapping[str, Probe]
    pure: pd.DataFrame
    odd: Mapping[str, Mapping[str, str]]

    @property
    def stops(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.fired and finding.rule.severity is Severity.STOP]


def examine(validation: Validation, classes: Classes, given: Circumstances) -> Examination:
    """Hold a validated snapshot against every rule."""
    accepted = validation.accepted
    columns = value_columns(accepted)
    labels = accepted["label"].to_numpy(np.int64)
    groups = accepted["group"].to_numpy()
    probes = {f"shortcut-{name}": probe(features, labels, groups) for name, features in feature_sets(accepted).items()}
    previous = given.previous
    examined = Examination(
        validation=validation,
        classes=classes,
        findings=[],
        changes=None if previous is None else label_changes(previous, accepted.set_index("id")["label"]),
        comparisons=given.comparisons,
        probes={rule: found for rule, found in probes.items() if found is not None},
        pure=pure_values(accepted.assign(**columns), list(columns), labels),
        odd=_odd_looks(accepted),
    )
    examiner = _Examiner(examined, given)
    rules = (replace(rule, limit=given.limits.get(name, rule.limit)) for name, rule in RULES.items())
    findings = [examiner.finding(rule) for rule in rules]
    return replace(examined, findings=findings)


def value_columns(accepted: pd.DataFrame) -> dict[str, "pd.Series[str]"]:
    """Return the columns whose values may give the label away: size, orientation, format, and the slices."""
    wide = accepted["width"] > accepted["height"]
    shown = {
        "size": size_names(accepted),
        "orientation": pd.Series(np.where(wide, "landscape", "portrait"), accepted.index),
        "format": accepted["format"],
    }
    slices = {str(c).removeprefix(SLICE_PREFIX): accepted[c] for c in accepted if str(c).startswith(SLICE_PREFIX)}
    # What the data call a label is the label.
    slices.pop(CLASS_NAME, None)
    # Near as many values as screenshots: a name or a number of each, not a slice.
    few = min(max(_VALUES_OF_A_SLICE, len(accepted) // 20), _MOST_VALUES)
    # A slice may have any name: what was measured goes before what the data say of themselves.
    own = {name: values for name, values in slices.items() if name not in {*shown, "group"}}
    return shown | {name: values for name, values in own.items() if 1 < values.nunique() <= few}


def _odd_looks(accepted: pd.DataFrame) -> dict[str, dict[str, str]]:
    looks = {
        "dark": (is_dark(accepted), "dark_quantile", "brightest parts {:.2f}"),
        "blurry": (is_blurry(accepted), "sharpness", "sharpness {:.2f}"),
        "low-information": (is_low_information(accepted), "entropy", "{:.2f} bits of information"),
    }
    found = {}
    for rule, (odd, column, text) in looks.items():
        worst = accepted[odd.to_numpy(bool)].sort_values(column, kind="stable")
        found[rule] = {i: text.format(value) for i, value in zip(worst["id"], worst[column], strict=True)}
    reasons = not_phone_reasons(accepted)
    named = reasons.notna().to_numpy()
    found["not-phone"] = dict(zip(accepted["id"][named], reasons[named].astype(str), strict=True))
    return found


class _Examiner:
    """Answers each rule with its finding."""

    def __init__(self, examined: Examination, given: Circumstances) -> None:
        self._examined, self._given = examined, given
        self._validation, self._accepted = examined.validation, examined.validation.accepted
        self._names = (examined.classes.negative, examined.classes.positive)
        self._refused = Counter(row.reason for row in self._validation.quarantined)
        self._labels = self._accepted["label"].to_numpy(np.int64)

    def finding(self, rule: Rule) -> Finding:
        answers = {
            "both-classes": self._both_classes,
            "split-classes": self._split_classes,
            "no-leakage": self._no_leakage,
            "label-changes": self._label_changes,
            "quarantined-share": self._quarantined_share,
            "class-balance": self._class_balance,
            "split-balance": self._split_balance,
            "split-groups": self._split_groups,
            "ungrouped": self._ungrouped,
            "dominant-group": self._dominant_group,
            "unused-files": self._unused_files,
            "near-duplicates": self._near_duplicates,
            "pure-value": self._pure_value,
            "drift-champion": self._drift,
            "drift-reference": self._drift,
            **dict.fromkeys(("shortcut-size", "shortcut-colour", "shortcut-file"), self._shortcut),
            **dict.fromkeys(("not-phone", "dark", "blurry", "low-information"), self._odd),
        }
        return answers.get(rule.name, self._refusal)(rule)

    def _refusal(self, rule: Rule) -> Finding:
        count = self._refused[rule.name]
        rows = [row for row in self._validation.quarantined if row.reason == rule.name]
        first = f" First: row {rows[0].row} of {rows[0].batch}: {rows[0].detail}." if rows else ""
        ids = tuple(dict.fromkeys(row.sha256 for row in rows if row.sha256))
        text = f"{counted(count, 'row')} kept out.{first}" if count else "No row."
        return Finding(rule, count > 0, counted(count, "row"), text, ids)

    def _both_classes(self, rule: Rule) -> Finding:
        empty = [name for label, name in enumerate(self._names) if not (self._labels == label).any()]
        text = "Both classes have screenshots."
        if empty:
            text = f"The class {empty[0]!r} has no usable screenshot: a model needs both classes."
        if len(empty) > 1:
            text = "There is no usable screenshot at all."
        rows = self._validation.quarantined
        if empty and rows:
            text += f" {counted(len(rows), 'row')} quarantined, the first because: {rows[0].detail}."
        return Finding(rule, bool(empty), f"{len(empty)} empty", text)

    def _split_classes(self, rule: Rule) -> Finding:
        missing = [
            (split, name)
            for split in Split
            for label, name in enumerate(self._names)
            if not ((self._accepted["split"] == str(split)) & (self._labels == label)).any()
        ]
        groups = self._accepted["group"].nunique()
        text = (
            f"The {missing[0][0]} split has no screenshot of class {missing[0][1]!r} (splits follow the groups, of "
            f"which there are {groups}): add labelled data from more groups."
            if missing
            else "Every split has both classes."
        )
        return Finding(rule, bool(missing), f"{len(missing)} missing", text)

    def _no_leakage(self, rule: Rule) -> Finding:
        groups, crossing = self._validation.crossing
        text = (
            f"Of {self._accepted['group'].nunique():,} groups {groups} lie in two splits. Near-duplicates were looked "
            f"for once more among what was accepted: {counted(crossing, 'pair')} in two splits."
        )
        return Finding(rule, groups + crossing > 0, f"{counted(groups, 'group')}, {counted(crossing, 'pair')}", text)

    def _label_changes(self, rule: Rule) -> Finding:
        changes, limit = self._examined.changes, _limit(rule)
        if changes is None:
            return Finding(rule, False, "-", "There is no earlier snapshot to compare with.")
        # A label that a new batch makes doubtful is lost as one that it turns round.
        lost = self._given.contested & set(self._given.previous.index if self._given.previous is not None else ())
        lost -= set(self._accepted["id"])
        changes = Changes(
            (*changes.changed, *sorted(lost)),
            changes.n_before,
            (len(changes.changed) + len(lost)) / max(1, changes.n_before),
        )
        count = len(changes.changed)
        text = (
            f"{counted(count, 'label')} of {changes.n_before:,} changed or became doubtful; the limit, from 20 "
            f"labels on, is {limit:.1%} of them."
        )
        fired = too_many(changes, share_limit=limit)
        if fired:
            text += " If that is wanted, run with a higher --max-label-changes."
        return Finding(rule, fired, f"{changes.share:.1%}", text, changes.changed)

    def _quarantined_share(self, rule: Rule) -> Finding:
        rows, refused, limit = self._given.new_rows, self._given.new_refused, _limit(rule)
        share = refused / max(rows, 1)
        text = f"{refused:,} of {rows:,} new rows were refused; the limit, from {_ENOUGH_ROWS} rows on, is {limit:.0%}."
        return Finding(rule, rows >= _ENOUGH_ROWS and share > limit, f"{share:.0%}", text)

    def _class_balance(self, rule: Rule) -> Finding:
        counts = [int((self._labels == label).sum()) for label in (0, 1)]
        share = min(counts) / max(sum(counts), 1)
        text = f"{counts[0]:,} {self._names[0]}, {counts[1]:,} {self._names[1]}."
        return Finding(rule, share < _limit(rule), f"{share:.0%}", text)

    def _split_balance(self, rule: Rule) -> Finding:
        shares = self._accepted.groupby("split")["label"].mean()
        if shares.empty:
            return Finding(rule, False, "-", "There is no screenshot.")
        gap = float(shares.max() - shares.min())
        text = (
            f"{self._names[1]} are {shares.max():.0%} of the {shares.idxmax()} split and {shares.min():.0%} of the "
            f"{shares.idxmin()} split"
        )
        fired = gap > _limit(rule)
        text += ": groups are few, or large ones have one label only." if fired else "."
        return Finding(rule, fired, f"{gap:.0%} apart", text)

    def _split_groups(self, rule: Rule) -> Finding:
        counts = self._accepted.groupby(["split", "label"])["group"].nunique()
        least = min(
            ((int(counts.get((str(s), i), 0)), s, name) for s in Split for i, name in enumerate(self._names)),
            key=lambda found: found[0],
        )
        text = (
            f"Fewest are the {least[0]} groups of {least[2]!r} in the {least[1]} split. Screenshots of one group are "
            "not independent: what a split can prove depends on its groups."
        )
        return Finding(rule, least[0] < _limit(rule), counted(least[0], "group"), text)

    def _ungrouped(self, rule: Rule) -> Finding:
        alone = self._accepted["group"] == self._accepted["id"]
        text = f"{counted(int(alone.sum()), 'screenshot')} without group, app or session."
        if alone.any():
            text += " Those of one app may be on both sides of a split, which makes results look better than they are."
        return Finding(rule, bool(alone.any()), counted(int(alone.sum()), "screenshot"), text)

    def _dominant_group(self, rule: Rule) -> Finding:
        shares = self._accepted["group"].value_counts(normalize=True)
        if shares.empty:
            return Finding(rule, False, "-", "There is no screenshot.")
        name, share = str(shares.index[0]), float(shares.iloc[0])
        return Finding(rule, share > _limit(rule), f"{share:.1%}", f"The largest group is {name!r}: {share:.1%}.")

    def _unused_files(self, rule: Rule) -> Finding:
        count = self._given.unused_files
        return Finding(rule, count > 0, counted(count, "file"), f"{counted(count, 'file')} that no usable row names.")

    def _near_duplicates(self, rule: Rule) -> Finding:
        sizes = self._accepted["cluster"].value_counts()
        shared = sizes[sizes > 1]
        text = (
            f"{counted(int(shared.sum()), 'screenshot')} in {counted(len(shared), 'cluster')}, the largest of "
            f"{int(shared.max()) if len(shared) else 0}. They stay in one split, and count for less than their number."
        )
        ids = self._accepted.loc[self._accepted["cluster"].isin(shared.index), "id"]
        return Finding(rule, len(shared) > 0, counted(int(shared.sum()), "screenshot"), text, tuple(ids))

    def _pure_value(self, rule: Rule) -> Finding:
        columns, said, ids = value_columns(self._accepted), [], []
        for row in self._examined.pure.to_dict("records"):
            share = "all of them" if row["share"] == 1 else f"{row['share']:.0%}"
            said.append(
                f"{row['column']} {row['value']}: {row['n']} screenshots of {row['groups']} groups, "
                f"{self._names[row['label']]} {share}"
            )
            ids += list(self._accepted.loc[columns[row["column"]] == row["value"], "id"].head(1))
        text = f"Whoever knows the value knows the label. {'; '.join(said)}." if said else "None."
        return Finding(rule, bool(said), counted(len(said), "value"), text, tuple(ids))

    def _shortcut(self, rule: Rule) -> Finding:
        found, limit = self._examined.probes.get(rule.name), _limit(rule)
        if found is None:
            return Finding(rule, False, "-", "Too few groups of both classes to measure it.")
        text = (
            f"A small model that sees nothing else reaches an AUC of {found.auc:.2f} ({found.lower:.2f} to "
            f"{found.upper:.2f} by group) on groups that it has not seen; 0.5 is chance."
        )
        if found.auc > limit:
            text += " A classifier may learn this instead of what the pictures show: report such slices apart."
        return Finding(rule, found.auc > limit, f"AUC {found.auc:.2f}", text)

    def _odd(self, rule: Rule) -> Finding:
        odd = self._examined.odd[rule.name]
        share = len(odd) / max(len(self._accepted), 1)
        text = f"{counted(len(odd), 'screenshot')} ({share:.1%})."
        if odd and rule.name == "not-phone":
            kinds = Counter(reason.split(": ", 1)[-1] for reason in odd.values())
            text += " Most: " + "; ".join(f"{kind} ({count})" for kind, count in kinds.most_common(3)) + "."
        return Finding(rule, share > _limit(rule), counted(len(odd), "screenshot"), text, tuple(odd))

    def _drift(self, rule: Rule) -> Finding:
        for comparison in self._examined.comparisons:
            if comparison.rule == rule.name:
                drifted = comparison.drifted
                text = comparison.text
                if drifted:
                    worst = max(drifted, key=lambda drift: drift.lower)
                    text += (
                        f" {counted(len(drifted), 'feature')} differ beyond doubt, most {worst.feature}: distance "
                        f"{worst.distance:.2f}, at least {worst.lower:.2f} at 95 %."
                    )
                slices = comparison.drifted_slices
                if slices:
                    worst_slice = slices[0]
                    name = f"{worst_slice.column.removeprefix(SLICE_PREFIX)} {printable(worst_slice.value, 60)}"
                    text += (
                        f" Within slices {counted(len(slices), 'feature')} differ, most {worst_slice.drift.feature} of "
                        f"{name}: at least {worst_slice.drift.lower:.2f}."
                    )
                measured = counted(len(drifted) + len(slices), "feature")
                return Finding(rule, bool(drifted or slices), measured, text)
        missing = "no approved model yet" if rule.name == "drift-champion" else "no production reference sample"
        return Finding(rule, False, "-", f"Not compared: {missing}, or nothing is new since.")


def _limit(rule: Rule) -> float:
    return float(rule.limit or 0)


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
