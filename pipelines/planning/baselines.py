"""The data that a run's own are compared with: the champion's, and those of the run before."""

from collections.abc import Sequence
from dataclasses import replace

from pipelines.data.snapshots import Snapshot, source_of
from pipelines.planning.earlier_runs import EarlierRun, before
from pipelines.registry.protocol import ModelVersion
from pipelines.storage.protocol import ObjectStore
from steps.core.dataset.plan import Source


def champion_source(champion: ModelVersion | None, snapshot: Snapshot, data: ObjectStore) -> Source | None:
    """Return what the approved model was trained on, if that is known, still there, and other data than these."""
    if champion is None or "dataset" not in champion.metadata:
        return None
    found = source_of(champion.metadata["dataset"], data)
    if found is None or found.snapshot == snapshot.source.snapshot:
        return None
    return replace(found, name=f"version {champion.version}")


def previous_source(earlier: Sequence[EarlierRun], snapshot: Snapshot, data: ObjectStore) -> Source | None:
    """Return what the last run before this snapshot's first one was about, if it was about data of the same place."""
    for run in reversed(before(earlier, snapshot.uri)):
        if run.has_validated and (uri := run.parameters.get("DatasetUri")):
            found = source_of(str(uri), data)
            if found and found.place == snapshot.source.place:
                return replace(found, name=f"the last run's {found.snapshot[:12]}")
    return None
