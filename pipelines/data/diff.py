"""What differs between two states of the labelled data: as a run validated them, or as their rows say."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.data.catalogue import Catalogue
from pipelines.data.validated_runs import ValidatedRun, find_validated, validated_runs
from pipelines.definition.settings import Settings
from pipelines.executor.runs import load_runs
from pipelines.executor.store import LocalStore
from steps.core.common.errors import UserError
from steps.core.dataset.classes import Classes
from steps.core.dataset.label_resolution import settle_labels
from steps.core.dataset.plan import DATASETS, Source
from steps.core.dataset.rows import check_batch, read_rows
from steps.core.dataset.snapshot import LABELS, MANIFEST, REFERENCE, Batch, read_place, snapshot_digest
from steps.core.dataset.tables import read_dataset, read_quarantine

LAST, NOW = "last", "now"
_LEAST_DIGITS = 4


@dataclass(frozen=True, slots=True)
class State:
    """The labelled data at some time. `basis` tells where that is known from, for people.

    labels: 0 or 1, and groups: its group's name, by the sha256 of each usable screenshot. refused: batch, row and
    reason of each row that is not used.
    """

    snapshot: str
    basis: str
    batches: tuple[str, ...]
    labels: "pd.Series[int]"
    groups: "pd.Series[str]"
    refused: frozenset[tuple[str, int, str]]


@dataclass(frozen=True, slots=True)
class Difference:
    """What the second state has and the first has not, and the other way round; screenshots as labels by sha256.

    `relabelled` maps a sha256 to its labels in the first and in the second.
    """

    batches_added: tuple[str, ...]
    batches_removed: tuple[str, ...]
    added: "pd.Series[int]"
    removed: "pd.Series[int]"
    relabelled: tuple[tuple[str, int, int], ...]
    groups_added: tuple[str, ...]
    newly_refused: tuple[tuple[str, int, str], ...]


def difference(first: State, second: State) -> Difference:
    common = first.labels.index.intersection(second.labels.index).sort_values()
    before, after = first.labels.loc[common], second.labels.loc[common]
    changed = common[before.to_numpy() != after.to_numpy()]
    known = {(batch, row) for batch, row, _ in first.refused}
    return Difference(
        batches_added=tuple(sorted(set(second.batches) - set(first.batches))),
        batches_removed=tuple(sorted(set(first.batches) - set(second.batches))),
        added=second.labels.drop(common),
        removed=first.labels.drop(common),
        relabelled=tuple((str(i), int(before[i]), int(after[i])) for i in changed),
        groups_added=tuple(sorted(set(second.groups) - set(first.groups))),
        newly_refused=tuple(sorted(row for row in second.refused if row[:2] not in known)),
    )


class States:
    """Finds the states that a person names: a run, a snapshot by its first digits, `last` or `now`."""

    def __init__(
        self, home: Path, store: LocalStore, settings: Settings, classes: Classes, attribute: str | None
    ) -> None:
        self._home, self._store, self._settings = home, store, settings
        self._classes, self._attribute = classes, attribute
        self._bucket = store.path(settings.uri())

    def find(self, name: str) -> State:
        """Return a state; raises UserError for a name of nothing, or of several snapshots."""
        if name == LAST:
            return self._of_run(find_validated(self._home, self._store))
        if name == NOW:
            batches = Catalogue(self._store, self._settings).batches()
            if not any(batch.kind == LABELS for batch in batches):
                raise UserError("no labelled data have been added, so there is no `now`: `tilegate data add` some")
            return self._of_snapshot(Source(snapshot_digest(batches)), batches)
        if any(run.id == name for run in load_runs(self._home)):
            return self._of_run(find_validated(self._home, self._store, name))
        source = self._source(name)
        return self._of_snapshot(source, source.batches(self._bucket))

    def _source(self, prefix: str) -> Source:
        folders = [manifest.parent for manifest in (self._bucket / DATASETS).glob(f"*/{MANIFEST}")]
        found = sorted(folder for folder in folders if folder.name.startswith(prefix.lower()))
        if len(prefix) < _LEAST_DIGITS or not found:
            raise UserError(
                f"{prefix!r} is no run, and not the beginning ({_LEAST_DIGITS} digits at least) of a snapshot; "
                f"`tilegate runs` lists the runs, and {LAST!r} and {NOW!r} are known as well"
            )
        if len(found) > 1:
            raise UserError(f"{len(found)} snapshots begin with {prefix!r}, {found[0].name} among them: more digits")
        return Source(found[0].name, read_place(found[0]))

    def _of_snapshot(self, source: Source, batches: Sequence[Batch]) -> State:
        runs = validated_runs(self._home, self._store)
        run = next((found for found in runs if found.source.snapshot == source.snapshot), None)
        return self._of_run(run) if run else self._of_rows(source, batches)

    def _of_run(self, found: ValidatedRun) -> State:
        dataset = read_dataset(found.tables).set_index("id")
        refused = read_quarantine(found.tables)
        return State(
            snapshot=found.source.snapshot,
            basis=f"as run {found.run.id} validated it",
            batches=tuple(batch.name for batch in found.source.batches(self._bucket)),
            labels=dataset["label"],
            groups=dataset["group"],
            refused=frozenset(zip(refused["batch"], refused["row"].astype(int), refused["reason"], strict=True)),
        )

    def _of_rows(self, source: Source, batches: Sequence[Batch]) -> State:
        frames, out = [], list[tuple[str, int, str]]()
        current = set(Catalogue(self._store, self._settings).batches())
        for batch in batches:
            if batch.kind != REFERENCE:
                folder, listing = source.folder(self._bucket, batch.name), source.listing(self._bucket, batch)
                # What was withdrawn, or has lost a screenshot since by an erasure, is history.
                if batch in current:
                    check_batch(batch, folder, listing)
                rows, refused = read_rows(batch, folder, listing, self._classes, self._attribute)
                frames.append(rows.assign(kind=batch.kind))
                out += [(row.batch, row.row, row.reason) for row in refused]
        rows = pd.concat(frames, ignore_index=True)
        settled = settle_labels(rows)
        places = dict(zip(rows.index, zip(rows["batch"], rows["row"].astype(int), strict=True), strict=True))
        out += [(*places[index], reason) for index, (reason, _) in settled.refused.items()]
        kept = settled.rows.set_index("id")
        return State(
            snapshot=source.snapshot,
            basis="as its rows say: no run has validated it, no image was looked at",
            batches=tuple(batch.name for batch in batches),
            labels=kept["label"],
            groups=kept["group"].fillna(pd.Series(kept.index, kept.index)),
            refused=frozenset(out),
        )


def as_json(first: State, second: State, found: Difference) -> dict[str, Any]:
    """Return a difference for scripts: sha256 in whole, labels as numbers."""

    def state(of: State) -> dict[str, Any]:
        return {"snapshot": of.snapshot, "basis": of.basis, "screenshots": len(of.labels)}

    def screenshots(labels: "pd.Series[int]") -> dict[str, int]:
        return {str(name): int(label) for name, label in sorted(labels.items())}

    return {
        "version": 1,
        "a": state(first),
        "b": state(second),
        "batches": {"added": list(found.batches_added), "removed": list(found.batches_removed)},
        "screenshots": {"added": screenshots(found.added), "removed": screenshots(found.removed)},
        "relabelled": [{"sha256": name, "a": a, "b": b} for name, a, b in found.relabelled],
        "groups": {"added": list(found.groups_added)},
        "quarantined": [{"batch": batch, "row": row, "reason": why} for batch, row, why in found.newly_refused],
    }
