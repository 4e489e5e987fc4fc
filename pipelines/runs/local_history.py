"""What the runs of a home came to, and what later ones depend on of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.definition.step_table import DATA, JUDGE, TUNE, is_rejected, names
from pipelines.executor.files import read_json
from pipelines.executor.runs import RunSummary, load_runs
from pipelines.planning.earlier_runs import EarlierRun
from pipelines.runs.executions import Status


def status_of(run: RunSummary) -> Status:
    """Return how a run stands; one that nobody executes any more has stopped."""
    if run.status == "Interrupted":
        return Status.STOPPED
    if run.status == "Failed":
        document = _result(run, str(run.failed_step)) or {}
        return Status.REJECTED if is_rejected(run.failed_step, document.get("exit_code")) else Status.FAILED
    return Status(run.status)


@dataclass(frozen=True, slots=True)
class RunHere:
    """A run on this machine, as later ones depend on it."""

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
            # A rejected conversion has looked as well, but a failed step has no outputs in its result.
            output = self.summary.run_dir / "steps" / step / "opt/ml/processing/output/new-ledger"
            found |= {path.stem for path in output.glob("*.json")}
            document = _result(self.summary, step)
            if document and "new-ledger" in document["outputs"]:
                found |= {key.removesuffix(".json") for key in document["outputs"]["new-ledger"]["keys"]}
        return found

    def tuning_job(self) -> str | None:
        document = _result(self.summary, TUNE.name)
        if not document or document["status"] != "Succeeded":
            return None
        return str(document["properties"]["HyperParameterTuningJobName"])


def runs_here(home: Path) -> Sequence[EarlierRun]:
    """Return every run of a home, the oldest first."""
    return [RunHere(run) for run in load_runs(home)]


def _result(run: RunSummary, step: str) -> Any:
    return read_json(run.run_dir / "steps" / step / "result.json")
