"""The difference between two states of the labelled data: as a run validated them, or as their rows say."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.data.catalogue import Catalogue
from pipelines.data.validated_runs import ValidatedRun, find_validated, validated_runs
from pipelines.executor.runs import load_runs
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


def difference(first: State, second: State) -> dict[str, Any]:
    """Return what the second state has and the first has not, and the other way round, as a document for scripts.

    Screenshots are labels (0 or 1) by sha256, in whole.
    """
    common = first.labels.index.intersection(second.labels.index).sort_values()
    before, after = first.labels.loc[common], second.labels.loc[common]
    changed = common[before.to_numpy() != after.to_numpy()]
    known = {(batch, row) for batch, row, _ in first.refused}
    refused = sorted(row for row in second.refused if row[:2] not in known)
    return {
        "version": 1,
        "a": _summary(first),
        "b": _summary(second),
        "batches": {
            "added": sorted(set(second.batches) - set(first.batches)),
            "removed": sorted(set(first.batches) - set(second.batches)),
        },
        "screenshots": {
            "added": second.labels.drop(common).sort_index().to_dict(),
            "removed": first.labels.drop(common).sort_index().to_dict(),
        },
        "relabelled": [{"sha256": name, "a": int(before[name]), "b": int(after[name])} for name in changed],
        "groups": {"added": sorted(set(second.groups) - set(first.groups))},
        "quarantined": [{"batch": batch, "row": row, "reason": why} for batch, row, why in refused],
    }


def _summary(state: State) -> dict[str, Any]:
    return {"snapshot": state.snapshot, "basis": state.basis, "screenshots": len(state.labels)}


class States:
    """Finds the states that a person names: a run, a snapshot by its first digits, `last` or `now`."""

    def __init__(self, home: Path, catalogue: Catalogue, classes: Classes, attribute: str | None) -> None:
        self._home, self._catalogue = home, catalogue
        self._classes, self._attribute = classes, attribute
        self._bucket = catalogue.store.path(catalogue.uri())

    def find(self, name: str) -> State:
        """Return a state; raises UserError for a name of nothing, or of several snapshots."""
        if name == LAST:
            return self._of_run(find_validated(self._home))
        if name == NOW:
            batches = self._catalogue.batches()
            if not any(batch.kind == LABELS for batch in batches):
                raise UserError("no labelled data have been added, so there is no `now`: `tilegate data add` some")
            return self._of_snapshot(Source(snapshot_digest(batches)), batches)
        if any(run.id == name for run in load_runs(self._home)):
            return self._of_run(find_validated(self._home, name))
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
        runs = (run for run in validated_runs(self._home) if run.source.snapshot == source.snapshot)
        run = next(runs, None)
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
        current = set(self._catalogue.batches())
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
