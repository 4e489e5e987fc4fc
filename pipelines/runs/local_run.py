"""One run on one machine: data into the store, the definition through the executor, the outcome to a person."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.definition.compiler import compile_cached
from pipelines.definition.parameters import first_trials, is_warm_start
from pipelines.definition.settings import Settings
from pipelines.definition.step_table import TUNE, is_rejected
from pipelines.executor.executor import Executor
from pipelines.executor.parameters import bind
from pipelines.executor.progress import ConsoleProgress
from pipelines.executor.results import ExecutionResult
from pipelines.executor.runs import load_runs
from pipelines.executor.store import LocalStore
from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.runs.local_images import LocalImages
from pipelines.runs.local_outputs import Outputs
from pipelines.runs.local_start import LocalStart, RunRequest
from pipelines.tracking.listener import MlflowTracker
from steps.core.common.errors import UserError


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
    print()
    for name, value in _summary(result, outcome, Outputs(result.run_dir, result.failed_step, store), tracker.url()):
        print(f"{name:<12} {value}")
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
    if result.reason:
        yield "Reason", result.reason
    yield from outputs.lines()
    if outcome in {"Rejected", "Failed"}:
        step = result.failed_step or ""
        look = (
            f"tilegate report {result.execution_id}"
            if outputs.report()
            else f"tilegate logs {result.execution_id} {step}"
        )
        yield "Next", f"{look}    # shows more; after a change `tilegate run` repeats what depends on it alone"
    if url:
        yield "MLflow", f"{url} (start it with: tilegate ui)"
    yield "Run", str(result.run_dir)
