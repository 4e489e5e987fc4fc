"""Which versions have learnt from some batches: their data are named in their metadata."""

from collections.abc import Collection, Iterator

from pipelines.registry.opening import OpenedRegistry
from pipelines.registry.protocol import ModelVersion


def versions_that_learnt(opened: OpenedRegistry, batches: Collection[str]) -> Iterator[tuple[ModelVersion, bool]]:
    """Yield each version whose data held one of some batches, and whether that is known.

    It is not where the snapshot that it was trained on is gone, or was never told.
    """
    for version in opened.registry.versions(opened.group):
        held = opened.batches(version.metadata["dataset"]) if "dataset" in version.metadata else None
        if held is None or not set(batches).isdisjoint(held):
            yield version, held is not None
