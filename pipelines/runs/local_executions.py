"""The executions of this machine: the runs of a home."""

from collections.abc import Mapping
from pathlib import Path

from pipelines.definition.settings import Settings
from pipelines.executor.runs import RunSummary, load_runs
from pipelines.runs.executions import Outcome, Status
from pipelines.runs.local_history import RunHere, status_of
from pipelines.runs.local_run import execute


class LocalExecutions:
    """The runs of a home. A night's run bears its name as its note."""

    def __init__(self, home: Path, settings: Settings) -> None:
        self._home, self._settings = home, settings

    def start(self, display_name: str, token: str, parameters: Mapping[str, str]) -> str:  # noqa: ARG002 (one process)
        """Run the pipeline to its end, going on with the run of that name if it was interrupted; return its id."""
        interrupted = self._named(display_name, "Interrupted")
        execute(self._home, self._settings, {} if interrupted else parameters, resume=interrupted, note=display_name)
        return str(self.find(display_name))

    def find(self, display_name: str) -> str | None:
        """See the protocol; a run that was interrupted has not been started as far as a night goes."""
        return self._named(display_name)

    def outcome(self, execution: str) -> Outcome:
        run = next((run for run in self._runs() if run.id == execution), None)
        if run is None:
            return Outcome(Status.STOPPED, "its folder is gone")
        return Outcome(status_of(run), run.reason or "", run.failed_step or "", RunHere(run).tuning_job() or "")

    def executing(self) -> str | None:
        return next((run.id for run in self._runs() if run.status == "Executing"), None)

    def _runs(self) -> list[RunSummary]:
        return [run for run in load_runs(self._home) if run.pipeline == self._settings.name]

    def _named(self, note: str, status: str | None = None) -> str | None:
        for run in reversed(self._runs()):
            if run.code_note == note and (run.status == status if status else run.status != "Interrupted"):
                return run.id
        return None
