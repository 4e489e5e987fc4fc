"""The executions before tonight's, as far as tonight depends on them: wherever they ran, the same few facts."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipelines.definition.step_table import DATA, JUDGE, TUNE, names
from pipelines.executor.files import read_json
from pipelines.executor.runs import RunSummary, load_runs


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


@dataclass(frozen=True, slots=True)
class RunHere:
    """An earlier run on this machine."""

    summary: RunSummary

    @property
    def id(self) -> str:
        return self.summary.id

    @property
    def pipeline(self) -> str:
        return self.summary.pipeline

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.summary.parameters

    @property
    def has_validated(self) -> bool:
        run = self.summary
        return run.status == "Succeeded" or run.failed_step not in (None, *names(DATA))

    def looks(self) -> Collection[str]:
        found = set[str]()
        for step in names(JUDGE):
            folder = self.summary.run_dir / "steps" / step
            # A rejected conversion has looked as well, but a failed step has no outputs in its result.
            found |= {path.stem for path in (folder / "opt/ml/processing/output/new-ledger").glob("*.json")}
            document = read_json(folder / "result.json")
            if document and "new-ledger" in document["outputs"]:
                found |= {key.removesuffix(".json") for key in document["outputs"]["new-ledger"]["keys"]}
        return found

    def tuning_job(self) -> str | None:
        document = read_json(self.summary.run_dir / "steps" / TUNE.name / "result.json")
        if not document or document["status"] != "Succeeded":
            return None
        return str(document["properties"]["HyperParameterTuningJobName"])


def runs_here(home: Path) -> Sequence[EarlierRun]:
    """Return every run of a home, the oldest first."""
    return [RunHere(run) for run in load_runs(home)]


def before(earlier: Sequence[EarlierRun], dataset_uri: str) -> Sequence[EarlierRun]:
    """Return the runs before the first one on a dataset, so that a repeated run learns from the same ones."""
    return list(itertools.takewhile(lambda run: run.parameters.get("DatasetUri") != dataset_uri, earlier))
