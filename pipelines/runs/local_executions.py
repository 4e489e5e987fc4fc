"""The executions of this machine: the runs of a home."""

import dataclasses
from collections.abc import Mapping

from pipelines.definition.settings import Settings
from pipelines.definition.step_table import REJECT
from pipelines.executor.files import read_json
from pipelines.executor.runs import RunSummary, load_runs
from pipelines.planning.earlier_runs import RunHere
from pipelines.runs.executions import Outcome, Status
from pipelines.runs.local_run import RunRequest, run_pipeline
from steps.core.common.program import EXIT_REJECTED


class ExecutionsHere:
    """The runs of a home; `request` is what each of them is asked for. A night's run bears its name as its note."""

    def __init__(self, request: RunRequest, settings: Settings) -> None:
        self._request, self._settings = request, settings

    def start(self, display_name: str, token: str, parameters: Mapping[str, str]) -> str:  # noqa: ARG002 (one process)
        """Run the pipeline to its end, going on with the run of that name if it was interrupted; return its id."""
        interrupted = self._named(display_name, "Interrupted")
        request = dataclasses.replace(self._request, note=display_name)
        if interrupted:
            request = dataclasses.replace(request, weights=None, parameters={}, resume=interrupted)
        run_pipeline(request, self._settings)
        return str(self.find(display_name))

    def find(self, display_name: str) -> str | None:
        """See the protocol; a run that was interrupted has not been started as far as a night goes."""
        return self._named(display_name)

    def outcome(self, execution: str) -> Outcome:
        run = next((run for run in self._runs() if run.id == execution), None)
        if run is None:
            return Outcome(Status.STOPPED, "its folder is gone")
        job = RunHere(run).tuning_job() or ""
        status = Status.STOPPED if run.status == "Interrupted" else Status(run.status)
        if status is Status.FAILED and _is_rejected(run):
            status = Status.REJECTED
        return Outcome(status, run.reason or "", run.failed_step or "", job)

    def executing(self) -> str | None:
        return next((run.id for run in self._runs() if run.status == "Executing"), None)

    def _runs(self) -> list[RunSummary]:
        return [run for run in load_runs(self._request.home) if run.pipeline == self._settings.name]

    def _named(self, note: str, status: str | None = None) -> str | None:
        for run in reversed(self._runs()):
            if run.code_note == note and (run.status == status if status else run.status != "Interrupted"):
                return run.id
        return None


def _is_rejected(run: RunSummary) -> bool:
    if run.failed_step == REJECT:
        return True
    document = read_json(run.run_dir / "steps" / str(run.failed_step) / "result.json")
    return bool(document) and document.get("exit_code") == EXIT_REJECTED
