"""The work of ValidateData: from a snapshot's batches to verdict, tables, facts of new images, and the page."""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from steps.core.common.errors import UserError
from steps.core.common.files import write_json
from steps.core.common.program import Progress, worker_count
from steps.core.common.worker_pool import map_in_processes
from steps.core.dataset.classes import AUTO, Classes
from steps.core.dataset.label_resolution import settle_labels
from steps.core.dataset.plan import FACTS, INSPECTOR, Plan, Source
from steps.core.dataset.rows import check_batch, check_readings, common_classes, no_rows, read_rows
from steps.core.dataset.snapshot import REFERENCE, Part, parts_of, snapshot_digest
from steps.core.dataset.splits import DEVELOPMENT
from steps.core.dataset.tables import VALIDATION, write_dataset, write_quarantine
from steps.network.weights import pretrained_weights
from steps.validate.admission import Validation, validate
from steps.validate.checks.notes import champion_drift, reference_drift
from steps.validate.drift import Comparison, compare_screenshots
from steps.validate.image_facts import Inspection, inspect, read_facts, read_pictures, write_facts
from steps.validate.page import write_page
from steps.validate.page.content import compose
from steps.validate.rule import Rule
from steps.validate.rules import RULES, Examination, examine
from steps.validate.subject import Circumstances
from steps.validate.summary import summary


def validate_data(args: argparse.Namespace) -> None:
    """Validate what the arguments of `steps.validate` name; raises UserError where a rule stops the run."""
    if not 0 <= args.max_label_changes <= 1:
        raise UserError(f"--max-label-changes {args.max_label_changes}: a share from 0 to 1 is wanted")
    given, plan = Classes.parse(args.classes), Plan.read(args.plan)
    data = _Data(plan.source, args)
    data.check()
    check_readings(data.batches, given, None if args.label_attribute == AUTO else args.label_attribute)
    classes = common_classes(data.batches, given)
    _inspect(args, data, [part for part in data.parts if part.digest in plan.inspect])
    known = args.store / FACTS / INSPECTOR
    folders = [(args.new_facts if part.digest in plan.inspect else known) / part.digest for part in data.parts]
    facts = read_facts(folders)
    validation = validate(data.batches, data.rows, data.refused, facts)
    previous = _Data(plan.previous, args) if plan.previous else None
    before = {batch.name for batch in previous.batches} if previous else set()
    comparing = _Comparing(args, validation, folders)
    comparisons = list(comparing.with_champion(plan.champion)) if plan.champion else []
    comparisons += comparing.with_production(facts[facts.index.isin(data.reference()) & (facts["problem"] == "")])
    harmless = {rule.name for rule in RULES.values() if rule.harmless}
    circumstances = Circumstances(
        comparisons=comparisons,
        previous=settle_labels(previous.rows).rows.set_index("id")["label"] if previous else None,
        contested=_contested(data, validation, before),
        new_rows=int((~data.rows["batch"].isin(before)).sum()) + sum(q.batch not in before for q in data.refused),
        new_refused=sum(q.batch not in before and q.reason not in harmless for q in validation.quarantined),
        unused_files=data.unused(),
        rows_of=Counter([*data.rows["batch"].tolist(), *(row.batch for row in data.refused)]),
        limits={"label-changes": args.max_label_changes},
    )
    examined = examine(validation, classes, circumstances)
    subject = {"snapshot": plan.source.snapshot, "previous": plan.previous.snapshot if plan.previous else "none"}
    write_json(args.report / VALIDATION, summary(examined, subject))
    since = (plan.previous.name, sorted(before)) if plan.previous else None
    page = compose(examined, data.batches, data.rows, since=since, subject=subject)
    write_page(args.report, page, read_pictures(folders, page.screenshots))
    # Where the run ends here, nothing else of it is published.
    write_quarantine(args.report, validation.quarantined)
    _print_findings(examined)
    if examined.stops:
        raise UserError(" ".join(finding.text for finding in examined.stops))
    write_dataset(args.output, validation.accepted)
    write_quarantine(args.output, validation.quarantined)
    write_dataset(
        args.development, validation.accepted[validation.accepted["split"].isin([str(s) for s in DEVELOPMENT])]
    )


class _Data:
    """A snapshot as a job has it: its batches, its parts, and their labelled rows."""

    def __init__(self, source: Source, args: argparse.Namespace) -> None:
        self.source, self._store = source, args.store
        self.batches = source.batches(args.store)
        self._listings = {batch.name: source.listing(args.store, batch) for batch in self.batches}
        self.parts = parts_of(self.batches, lambda batch: self._listings[batch.name])
        classes = Classes.parse(args.classes)
        attribute = None if args.label_attribute == AUTO else args.label_attribute
        refused, frames = [], [no_rows().assign(kind="")]
        for batch in self.batches:
            if batch.kind != REFERENCE:
                folder, listing = source.folder(args.store, batch.name), self._listings[batch.name]
                frame, bad = read_rows(batch, folder, listing, classes, attribute)
                frames.append(frame.assign(kind=batch.kind))
                refused += bad
        self.refused = refused
        self.rows = pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)

    def check(self) -> None:
        """Raise UserError if a batch is not what was added; its images are held against its listing when opened."""
        if snapshot_digest(self.batches) != self.source.snapshot:
            raise UserError(f"the snapshot {self.source.snapshot} names other batches than it was made of: restore it")
        for batch in self.batches:
            check_batch(batch, self.source.folder(self._store, batch.name), self._listings[batch.name])

    def files(self, part: Part) -> Iterator[tuple[Path, str]]:
        folder = self.source.folder(self._store, part.batch)
        return ((folder / path, sha256) for path, sha256 in part.files)

    def reference(self) -> set[str]:
        """Return the ids of the unlabelled screenshots from production."""
        batches = (batch.name for batch in self.batches if batch.kind == REFERENCE)
        return {screenshot for name in batches for screenshot in self._listings[name]["sha256"]}

    def unused(self) -> int:
        """Count the files that no row names."""
        named = set(zip(self.rows["batch"], self.rows["path"], strict=True))
        labelled = [batch.name for batch in self.batches if batch.kind != REFERENCE]
        return sum((name, path) not in named for name in labelled for path in self._listings[name]["path"])


def _print_findings(examined: Examination) -> None:
    accepted = examined.subject.accepted
    print(f"Accepted {len(accepted):,} screenshots of {accepted['group'].nunique():,} groups")
    for finding in examined.fired:
        print(f"{finding.rule.severity}: {finding.rule.title}: {finding.measured}")


class _Comparing:
    """Comparisons of accepted screenshots with others; pictures are read only as far as embeddings are compared."""

    def __init__(self, args: argparse.Namespace, validation: Validation, folders: Sequence[Path]) -> None:
        self._args, self._folders, self._accepted = args, folders, validation.accepted.set_index("id")
        self._weights = pretrained_weights(args.pretrained) if args.pretrained else None

    def with_champion(self, champion: Source) -> Iterator[Comparison]:
        """Compare what is new since the champion's training data with these; nothing, if nothing is new."""
        theirs = _Data(champion, self._args)
        folders = [self._args.store / FACTS / INSPECTOR / part.digest for part in theirs.parts]
        facts = read_facts(folders, thumbs=False)
        base = settle_labels(theirs.rows).rows.set_index("id").join(facts[facts["problem"] == ""], how="inner")
        new = self._accepted[~self._accepted.index.isin(base.index)]
        return self._compared(champion_drift, f"the champion's training data ({champion.name})", base, new, folders)

    def with_production(self, reference: pd.DataFrame) -> Iterator[Comparison]:
        """Compare all accepted screenshots with the facts of the reference sample, if there is one."""
        against = "the production reference sample"
        return self._compared(reference_drift, against, reference, self._accepted, self._folders)

    def _compared(
        self, rule: Rule, against: str, base: pd.DataFrame, new: pd.DataFrame, folders: Sequence[Path]
    ) -> Iterator[Comparison]:
        """Compare two samples, indexed by id; `folders` are those of the base's facts."""
        if base.empty or new.empty:
            return
        comparison = compare_screenshots(rule.name, against, base, new, limit=rule.limit)
        if self._weights is None:
            yield comparison
            return
        from steps.validate.embedding_drift import embedding_drift, sample_by_group

        base_groups, new_groups = sample_by_group(_groups(base)), sample_by_group(_groups(new))
        embedded = embedding_drift(
            read_pictures(folders, base_groups),
            read_pictures(self._folders, new_groups),
            base_groups,
            new_groups,
            weights=self._weights,
            backbone=self._args.backbone,
            limit=rule.limit,
        )
        yield replace(comparison, drifts=[*comparison.drifts, embedded])


def _contested(data: _Data, validation: Validation, before: set[str]) -> frozenset[str]:
    """Return the screenshots that rows of batches which are new contradict, or pictures of such batches."""
    fresh = set(data.rows.loc[~data.rows["batch"].isin(before), "id"])
    conflicts = {q.sha256 for q in validation.quarantined if q.reason == "label-conflict"} & fresh
    pairs = validation.pairs[validation.pairs["what"] == "labels contradict"]
    beside_a, beside_b = pairs["a"].isin(fresh), pairs["b"].isin(fresh)
    return frozenset({*conflicts, *pairs.loc[beside_b, "a"], *pairs.loc[beside_a, "b"]})


def _groups(frame: pd.DataFrame) -> dict[str, str | None]:
    groups = frame["group"] if "group" in frame else [None] * len(frame)
    return dict(zip(map(str, frame.index), groups, strict=True))


def _inspect(args: argparse.Namespace, data: _Data, parts: Sequence[Part]) -> None:
    """Look at the images of new parts and write down what is seen, a part at a time."""
    files = [file for part in parts for file in data.files(part)]
    progress = Progress("Opened", len(files), "screenshots")
    seen = map_in_processes(inspect, files, worker_count(args.workers, len(files)), on_death=_not_inspected)
    for part in parts:
        inspections = []
        for _ in part.files:
            inspections.append(next(seen))
            progress.advance()
        write_facts(args.new_facts / part.digest, inspections)


def _not_inspected(file: tuple[Path, str], reason: str) -> Inspection:
    return Inspection(file[1], "image", reason)
