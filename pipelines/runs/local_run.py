"""One run on one machine: data into the store, the definition through the executor, the outcome to a person."""

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.code_digest import program_digest
from pipelines.data.snapshots import Snapshot
from pipelines.definition.compiler import compile_cached
from pipelines.definition.parameters import (
    SAMPLE_PARAMETERS,
    check_parameters,
    first_trials,
    is_warm_start,
    pipeline_parameters,
    warm_start_names,
)
from pipelines.definition.settings import Settings
from pipelines.definition.step_table import CONVERT, DATA, EVALUATE, REGISTER, REJECT, TUNE, VALIDATE, programs
from pipelines.executor.executor import Executor
from pipelines.executor.progress import ConsoleProgress
from pipelines.executor.results import ExecutionResult
from pipelines.executor.runs import load_runs
from pipelines.executor.store import LocalStore
from pipelines.planning.baselines import champion_source, previous_source
from pipelines.planning.champion_and_ledger import champion_uri, identity_of, ledger_uri
from pipelines.planning.earlier_runs import runs_here
from pipelines.planning.planner import OF_VALIDATION, plan_run
from pipelines.planning.warm_start import warm_start_parents
from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.registry.protocol import PENDING, register_callback
from pipelines.runs.inputs import catalogue_snapshot, data_here, snapshot_of, weights_of
from pipelines.runs.local_images import LocalImages
from pipelines.runs.sample_data import write_sample
from pipelines.runs.verdict import figures
from pipelines.storage.folder import FolderObjects
from pipelines.tracking.listener import MlflowTracker
from steps.core.common.errors import UserError
from steps.core.common.files import read_json
from steps.core.common.program import EXIT_REJECTED
from steps.core.common.text import printable
from steps.core.dataset.classes import Classes
from steps.core.tiles.spec import PreprocessingSpec


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a person asked for; `parameters` are those given by name, `note` stays with the run.

    Without `data` the catalogue's batches are meant, or the embedded sample if there are none or if `sample` says so.
    """

    home: Path
    data: Path | None
    sample: bool
    weights: Path | None
    resume: str | None
    parameters: Mapping[str, Any]
    note: str = ""


def run_pipeline(request: RunRequest, settings: Settings) -> str:
    """Run the pipeline and print its summary; return Succeeded, Rejected, Failed or Stopped."""
    home = request.home
    store = LocalStore(home / "store")
    parameters = _resumed(request) if request.resume else _started(request, store, settings)
    settings = dataclasses.replace(settings, warm_start_parents=sum(map(is_warm_start, parameters)))
    definition = json.loads(compile_cached(settings, home / "compiled"))
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
        parameters=parameters,
        listeners=[ConsoleProgress(), tracker],
        register=register_callback(registry),
        first_trials={TUNE.name: first_trials(parameter_values(parameters, settings))},
        resume=request.resume,
        code_note=request.note,
    )
    result = executor.run()
    tracker.close()
    outcome = _outcome(result)
    print()
    for name, value in _summary(result, outcome, store, tracker):
        print(f"{name:<12} {value}")
    return outcome


def _resumed(request: RunRequest) -> Mapping[str, Any]:
    if request.data or request.weights or request.parameters:
        raise UserError("--resume goes on with a run as it was started: give no data, weights or parameters with it")
    found = [run for run in load_runs(request.home) if run.id == request.resume]
    if not found:
        raise UserError(f"there is no run {request.resume} in {request.home}; `tilegate runs` lists them")
    return found[0].parameters


def parameter_values(chosen: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the value of every parameter."""
    return {**{parameter.name: parameter.default for parameter in pipeline_parameters(settings)}, **chosen}


def _started(request: RunRequest, store: LocalStore, settings: Settings) -> dict[str, Any]:
    """Return the parameters of a new run: its data, what it is judged against, and what its tuning learns from."""
    chosen = start_parameters(request, store, settings)
    values = parameter_values(chosen, settings)
    identity, earlier = identity_of(values), runs_here(request.home)
    parents = warm_start_parents(earlier, settings.name, values)
    if parents:
        print(f"Tuning starts warm from {len(parents)} earlier {'nights' if len(parents) > 1 else 'night'}")
    artifacts = artifacts_here(store, settings)
    registry = MlflowRegistry(request.home)
    return {
        **chosen,
        "ChampionUri": champion_uri(artifacts, registry, settings.model_package_group, earlier, identity),
        "LedgerUri": ledger_uri(artifacts, earlier, identity),
        **dict(zip(warm_start_names(len(parents)), parents, strict=True)),
    }


def artifacts_here(store: LocalStore, settings: Settings) -> FolderObjects:
    """Return what runs leave behind on this machine, as objects."""
    folder = store.path(settings.artifact_uri())
    return FolderObjects(folder, folder.name)


def start_parameters(request: RunRequest, store: LocalStore, settings: Settings) -> dict[str, Any]:
    """Return the parameters that were chosen, and where data, plan and weights lie; brings them into the store."""
    added = None if request.data or request.sample else catalogue_snapshot(store, settings)
    is_sample = request.data is None and added is None
    preset = SAMPLE_PARAMETERS if is_sample else {}
    chosen = {**preset, **request.parameters}
    values = parameter_values(chosen, settings)
    check_parameters(values)
    if added:
        snapshot = added
        print(f"Data: {len(added.batches)} batches that were added with `tilegate data add`", flush=True)
    else:
        if is_sample:
            print(
                "Data: the embedded sample, drawn by code. It shows that the workflow works, not how good a model is."
            )
        else:
            print(f"Data: {request.data}", flush=True)
        data = request.data or write_sample(request.home / "sample", progress=_drawn)
        snapshot = snapshot_of(data, store, settings, Classes.parse(values["Classes"]))
    print(f"Dataset {snapshot.uri}")
    weights = weights_of(request.weights, values["Backbone"], store, settings)
    plan = plan_of(request.home, snapshot, {**values, "PretrainedWeightsUri": weights}, store, settings)
    return {**chosen, "DatasetUri": snapshot.uri, "PlanUri": plan, "PretrainedWeightsUri": weights}


def plan_of(home: Path, snapshot: Snapshot, values: Mapping[str, Any], store: LocalStore, settings: Settings) -> str:
    """Return the URI of the plan for a run on `snapshot`, compared with the champion's data and the run before.

    Whatever makes ValidateData run again gets a plan of its own, which asks for what the store does not know by then.
    """
    asked = {name: values[name] for name in OF_VALIDATION}
    data = data_here(store, settings)
    return plan_run(
        data,
        snapshot.source,
        PreprocessingSpec(tile_size=values["TileSize"]),
        code="".join(program_digest(f"steps.{program}") for program in programs(role=DATA)) + json.dumps(asked),
        champion=champion_source(MlflowRegistry(home).load_champion(settings.model_package_group), snapshot, data),
        previous=previous_source(runs_here(home), snapshot, data),
    )


def _drawn(done: int, total: int) -> None:
    """Tell how far the drawing of the sample is: in place on a terminal, now and then elsewhere."""
    if sys.stdout.isatty():
        print(f"\rDrew {done}/{total} screens of the sample", end="\n" if done == total else "", flush=True)
    elif done == total or done % (total // 4) == 0:
        print(f"Drew {done}/{total} screens of the sample", flush=True)


def _outcome(result: ExecutionResult) -> str:
    rejected = result.failed_step == REJECT or result.exit_code == EXIT_REJECTED
    return "Rejected" if result.status == "Failed" and rejected else result.status


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
