"""Earlier executions as far as the next one depends on them: wherever they ran, the same few facts, and their looks."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Protocol

from pipelines.definition.settings import LEDGER
from pipelines.definition.step_table import JUDGE, names
from pipelines.storage.protocol import ObjectStore


class EarlierRun(Protocol):
    """One earlier execution. What has to be looked up is a method, so that only those who ask pay for it."""

    @property
    def id(self) -> str: ...

    @property
    def pipeline(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    @property
    def has_validated(self) -> bool:
        """Whether it got through its data: they are what the next run is compared with."""

    def looks(self) -> Collection[str]:
        """Return the names of the looks at a test split that it entered into the ledger, without `.json`."""

    def tuning_job(self) -> str | None:
        """Return the name of the tuning job that succeeded in it, its own or one it reused."""


def before(earlier: Sequence[EarlierRun], dataset_uri: str) -> Sequence[EarlierRun]:
    """Return the runs before the first one on a dataset, so that a repeated run learns from the same ones."""
    return list(itertools.takewhile(lambda run: run.parameters.get("DatasetUri") != dataset_uri, earlier))


def all_looks(artifacts: ObjectStore) -> list[tuple[str, str]]:
    """Return the name and the key of every look at a test split that is in the ledger."""
    # Each judge has a folder of its own: two steps of a run may not write to one place.
    keys = [info.key for step in names(JUDGE) for info in artifacts.list(f"{LEDGER}/{step}/")]
    return [(PurePosixPath(key).stem, key) for key in sorted(keys) if key.endswith(".json")]
