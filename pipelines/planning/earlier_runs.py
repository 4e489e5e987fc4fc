"""The executions before tonight's, as far as tonight depends on them: wherever they ran, the same few facts."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

TUNING = "TuneHyperparameters"
JUDGES = ("EvaluateModel", "ConvertToTFLite")
# A run that ended in one of these has told nobody anything about its data.
NOTHING_KNOWN_YET = ("ValidateData", "PreprocessTiles", "IndexTiles")


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
