"""One run on one machine: data into the store, the definition through the executor, the outcome to a person.

A validation is the compiled definition cut down to ValidateData, run under the pipeline's own name: the step cache is
the same, and a run on the same data goes on from there.
"""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.code_digest import program_digest
from pipelines.definition.compiler import compile_cached
from pipelines.definition.parameters import first_trials, is_warm_start
from pipelines.definition.settings import Settings
from pipelines.definition.step_table import TUNE, VALIDATE, is_rejected
from pipelines.executor.errors import DefinitionError
from pipelines.executor.executor import Executor
from pipelines.executor.expressions import references
from pipelines.executor.job import Image
from pipelines.executor.parameters import bind
from pipelines.executor.progress import ConsoleProgress
from pipelines.executor.results import ExecutionResult
from pipelines.executor.runs import INTERRUPTED, RunSummary, load_runs
from pipelines.executor.store import LocalStore
from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.runs.executions import Outcome, Status
from pipelines.runs.local_history import REPORT, Outputs, RunHere, counts_of, status_of
from pipelines.runs.local_start import LocalStart, RunRequest
from pipelines.tracking.listener import MlflowTracker
from steps.core.common.errors import UserError
from steps.core.common.files import read_json
from steps.core.gate.limits import Limits
from steps.core.gate.provable import Provable

_ENTRYPOINT = ("python3", "-m", "steps.train")


def run_pipeline(request: RunRequest, settings: Settings) -> str:
    """Run the pipeline as a person asked for it, and print its summary; return its outcome, as `execute` does."""
    start = LocalStart(request.home, settings)
    parameters = start.prepare(*start.asked(request))
    if parents := sum(map(is_warm_start, parameters)):
        print(f"Tuning starts warm from {parents} earlier {'nights' if parents > 1 else 'night'}")
    return execute(request.home, settings, parameters)


def resume_run(request: RunRequest, settings: Settings, run: str) -> str:
    """Go on with a run of the home as it was started; return its outcome, as `execute` does."""
    if request.data or request.labels or request.weights or request.parameters:
        raise UserError("--resume goes on with a run as it was started: give no data, weights or parameters with it")
    return execute(request.home, settings, {}, resume=run)


def execute(
    home: Path, settings: Settings, parameters: Mapping[str, Any], *, resume: str | None = None, note: str = ""
) -> str:
    """Run the pipeline with these parameters, and print its summary; return Succeeded, Rejected, Failed or Stopped.

    The values may be text. `resume` names a run to go on with, whose own they are then; `note` stays with the run.
    """
    values = _parameters_of(home, resume) if resume else parameters
    settings = dataclasses.replace(settings, warm_start_parents=sum(map(is_warm_start, values)))
    definition = json.loads(compile_cached(settings, home / "compiled"))
    if not resume:
        values = bind(definition["Parameters"], parameters)
    store = LocalStore(home / "store")
    tracker = MlflowTracker(
        home,
        resolve=store.path,
        is_executing=lambda execution: any(r.id == execution and r.status == "Executing" for r in load_runs(home)),
    )
    registry = MlflowRegistry(home, run_for=tracker.registration_run)
    executor = Executor(
        definition,
        home=home,
        name=settings.name,
        images=LocalImages(settings),
        parameters=values,
        listeners=[ConsoleProgress(), tracker],
        register=registry.register_step,
        first_trials={TUNE.name: first_trials(values)},
        resume=resume,
        code_note=note,
    )
    result = executor.run()
    tracker.close()
    rejected = result.status == "Failed" and is_rejected(result.failed_step, result.exit_code)
    outcome = "Rejected" if rejected else result.status
    outputs = Outputs(result.run_dir, result.failed_step, store)
    _print(_summary(result, outcome, outputs, tracker.url()))
    return outcome


def _parameters_of(home: Path, run: str) -> Mapping[str, Any]:
    found = next((known for known in load_runs(home) if known.id == run), None)
    if found is None:
        raise UserError(f"there is no run {run} in {home}; `tilegate runs` lists them")
    return found.parameters


def _summary(result: ExecutionResult, outcome: str, outputs: Outputs, url: str | None) -> Iterator[tuple[str, str]]:
    """Yield the lines that a person needs at the end, as far as the run got."""
    verdicts = {
        "Succeeded": "PASSED the gate",
        "Rejected": "REJECTED by the gate",
        "Stopped": "STOPPED; the next run goes on where this one ended",
        "Failed": f"FAILED in {result.failed_step}",
    }
    yield "Verdict", verdicts[outcome]
    yield "Reason", result.reason or ""
    yield from outputs.lines()
    if outcome in {"Rejected", "Failed"}:
        run = result.execution_id
        more = f"tilegate report {run}" if outputs.report() else f"tilegate logs {run} {result.failed_step or ''}"
        yield "Next", f"{more}    # shows more; after a change `tilegate run` repeats what depends on it alone"
    yield "MLflow", f"{url} (start it with: tilegate ui)" if url else ""
    yield "Run", str(result.run_dir)


class LocalExecutions:
    """The runs of a home. A night's run bears its name as its note."""

    def __init__(self, home: Path, settings: Settings) -> None:
        self._home, self._settings = home, settings

    def start(self, display_name: str, token: str, parameters: Mapping[str, str]) -> str:  # noqa: ARG002 (one process)
        """Run the pipeline to its end, going on with the run of that name if it was interrupted; return its id."""
        interrupted = next((run.id for run in self._newest(display_name) if run.status == INTERRUPTED), None)
        execute(self._home, self._settings, {} if interrupted else parameters, resume=interrupted, note=display_name)
        return str(self.find(display_name))

    def find(self, display_name: str) -> str | None:
        """See the protocol; a run that was interrupted has not been started as far as a night goes."""
        return next((run.id for run in self._newest(display_name) if run.status != INTERRUPTED), None)

    def outcome(self, execution: str) -> Outcome:
        run = next((run for run in self._newest() if run.id == execution), None)
        if run is None:
            return Outcome(Status.STOPPED, "its folder is gone")
        return Outcome(status_of(run), run.reason or "", run.failed_step or "", RunHere.of(run).tuning_job() or "")

    def executing(self) -> str | None:
        return next((run.id for run in self._newest() if run.status == "Executing"), None)

    def _newest(self, note: str | None = None) -> list[RunSummary]:
        """Return the pipeline's runs, or those of a note, the newest first."""
        runs = [run for run in load_runs(self._home) if run.pipeline == self._settings.name]
        return [run for run in reversed(runs) if note in (None, run.code_note)]


def validate_data(request: RunRequest, settings: Settings) -> bool:
    """Run ValidateData, print its verdict and where its page lies, and tell whether the data may be learned from.

    They may not, if limits are asked for that they cannot prove. Raises UserError for data and parameters that no run
    would start with.
    """
    home, start = request.home, LocalStart(request.home, settings)
    whole = json.loads(compile_cached(settings, home / "compiled"))
    definition = cut_down(whole, VALIDATE.name)
    values = start.with_plan(*start.asked(request))
    declared = {parameter["Name"] for parameter in definition["Parameters"]}
    result = Executor(
        definition,
        home=home,
        name=settings.name,
        images=LocalImages(settings),
        parameters={name: value for name, value in values.items() if name in declared},
        listeners=[ConsoleProgress()],
    ).run()
    report, short = Outputs(result.run_dir, result.failed_step, start.store).validation(), ""
    lines = [("Verdict", f"none: {result.reason}" if result.reason else "")]
    if report:
        validation = read_json(report / "validation.json")
        short = Provable.read(validation["provable"]).shortage(Limits(values["MaxFpr"], values["MinTpr"]))
        lines = [*_findings(validation), ("Provable", short), ("Data page", str(report / REPORT))]
    _print([*lines, ("Run", str(result.run_dir))])
    asked = {"MaxFpr", "MinTpr"} & request.parameters.keys()
    return result.status == "Succeeded" and not (asked and short)


def _print(lines: Iterable[tuple[str, str]]) -> None:
    """Print names and values, without those that have none."""
    print()
    for name, value in lines:
        if value:
            print(f"{name:<12} {value}")


def cut_down(definition: Mapping[str, Any], step: str) -> dict[str, Any]:
    """Return a definition with one step, which needs no other, and the parameters that it uses."""
    alone = next(document for document in definition["Steps"] if document["Name"] == step)
    used = {reference.name for reference in references(alone["Arguments"]) if reference.kind == "Parameters"}
    return {
        **definition,
        "Parameters": [parameter for parameter in definition["Parameters"] if parameter["Name"] in used],
        "Steps": [alone],
    }


def _findings(validation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Verdict", validation["verdict"]
    yield from counts_of(validation)
    for finding in validation["findings"]:
        if finding["fired"]:
            # Why the run must not go on is the one thing that needs its whole sentence here.
            text = finding["text"] if finding["severity"] == "stop" else finding["measured"]
            yield finding["severity"].capitalize(), f"{finding['rule']}: {text}"


class LocalImages:
    """Resolves the images that the settings name; others are refused."""

    def __init__(self, settings: Settings) -> None:
        self._known = {settings.data_image, settings.model_image}

    def __call__(self, uri: str, command: tuple[str, ...]) -> Image:
        if uri not in self._known:
            raise DefinitionError(f"image {uri} is not one of this installation's: {', '.join(sorted(self._known))}")
        started = command or _ENTRYPOINT
        modules = [after for word, after in itertools.pairwise(started) if word == "-m"]
        return Image(_ENTRYPOINT, program_digest(modules[0] if modules else _ENTRYPOINT[-1]))
