"""One run on one machine: data into the store, the definition through the executor, the outcome to a person."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.definition.compiler import compile_cached
from pipelines.definition.parameters import first_trials, is_warm_start
from pipelines.definition.settings import Settings
from pipelines.definition.step_table import CONVERT, EVALUATE, REGISTER, TUNE, VALIDATE, is_rejected
from pipelines.executor.executor import Executor
from pipelines.executor.parameters import bind
from pipelines.executor.progress import ConsoleProgress
from pipelines.executor.results import ExecutionResult
from pipelines.executor.runs import load_runs
from pipelines.executor.store import LocalStore
from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.registry.protocol import PENDING, register_callback
from pipelines.runs.local_images import LocalImages
from pipelines.runs.local_start import LocalStart, RunRequest
from pipelines.runs.verdict import figures
from pipelines.tracking.listener import MlflowTracker
from steps.core.common.errors import UserError
from steps.core.common.files import read_json
from steps.core.common.text import printable


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
        register=register_callback(registry),
        first_trials={TUNE.name: first_trials(values)},
        resume=resume,
        code_note=note,
    )
    result = executor.run()
    tracker.close()
    rejected = result.status == "Failed" and is_rejected(result.failed_step, result.exit_code)
    outcome = "Rejected" if rejected else result.status
    print()
    for name, value in _summary(result, outcome, store, tracker):
        print(f"{name:<12} {value}")
    return outcome


def _parameters_of(home: Path, run: str) -> Mapping[str, Any]:
    found = next((known for known in load_runs(home) if known.id == run), None)
    if found is None:
        raise UserError(f"there is no run {run} in {home}; `tilegate runs` lists them")
    return found.parameters


def _summary(
    result: ExecutionResult, outcome: str, store: LocalStore, tracker: MlflowTracker
) -> Iterator[tuple[str, str]]:
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
    if validation := validation_report(result, store):
        yield from told_counts(read_json(validation / "validation.json"))
        yield "Data page", str(validation / "report.html")
    if judged := _judged(result, store):
        what, folder = judged
        yield "Judged", what
        yield from figures(read_json(folder / "evaluation.json"))
        yield "Report", str(folder / "report.html")
    if registered := result.properties(REGISTER):
        group, version = registered["ModelPackageGroupName"], registered["ModelPackageVersion"]
        yield "Model", f"{group} version {version}, {registered['ModelApprovalStatus']}"
        if registered["ModelApprovalStatus"] == PENDING:
            yield "Approve", f"tilegate models approve {version} --by NAME --reason TEXT"
    if url := tracker.url():
        yield "MLflow", f"{url} (start it with: tilegate ui)"
    yield "Run", str(result.run_dir)


def told_counts(counts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts["quarantined_by_reason"].items())
    refused = f"; {counts['quarantined']:,} quarantined ({reasons})" if reasons else ""
    yield "Screenshots", f"{counts['accepted']:,} of {counts['groups']:,} groups{refused}"
    if counts["ungrouped"]:
        alone = f"{counts['ungrouped']:,} have no group, app or session"
        yield "Groups", f"{alone}: screenshots of one app may be on both sides of a split"
    for label, name in sorted(counts["names"].items()):
        called = ", ".join(printable(name, 40) for name in counts["class_names"][label][:3])
        as_called = f" ({called} in the data)" if called not in ("", name) else ""
        yield f"Label {label}", f"{name}{as_called}: {counts['classes'][name]:,}"


def _judged(result: ExecutionResult, store: LocalStore) -> tuple[str, Path] | None:
    """Return what the last verdict is about and where its evidence lies, that of a rejected conversion included."""
    if bundle := _output(result, store, CONVERT.name, "bundle"):
        return "the TFLite model", bundle / "evidence"
    # A failed job publishes nothing, but its folder is still there to look at.
    unpublished = result.run_dir / f"steps/{CONVERT.name}/opt/ml/processing/output/bundle/evidence"
    if result.failed_step == CONVERT.name and (unpublished / "report.html").is_file():
        return "the TFLite model, which was not published", unpublished
    if evaluation := _output(result, store, EVALUATE.name, "evaluation"):
        return "the trained model", evaluation
    return None


def validation_report(result: ExecutionResult, store: LocalStore) -> Path | None:
    """Return where the validation's report lies: that of a job that stopped the run included."""
    if published := _output(result, store, VALIDATE.name, "report"):
        return published
    stopped = result.run_dir / f"steps/{VALIDATE.name}/opt/ml/processing/output/report"
    return stopped if (stopped / "validation.json").is_file() else None


def _output(result: ExecutionResult, store: LocalStore, step: str, name: str) -> Path | None:
    properties = result.properties(step)
    if not properties:
        return None
    return store.path(properties["ProcessingOutputConfig"]["Outputs"][name]["S3Output"]["S3Uri"])
