"""The runs of a home: how each stands, what it left and printed, and what later ones depend on of it."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from pipelines.definition.step_table import (
    CONVERT,
    DATA,
    EVALUATE,
    JUDGE,
    REGISTER,
    TUNE,
    VALIDATE,
    is_rejected,
    names,
)
from pipelines.executor.files import read_json
from pipelines.executor.runs import INTERRUPTED, RunSummary, load_runs
from pipelines.executor.store import LocalStore
from pipelines.planning.earlier_runs import EarlierRun
from pipelines.registry.protocol import PENDING
from pipelines.runs.executions import Execution, Status, StepState
from pipelines.runs.standing import Standing, figures
from steps.core.common.errors import UserError
from steps.core.common.files import read_json as read_whole
from steps.core.common.text import printable

EVALUATION, REPORT, BUNDLE = "evaluation.json", "report.html", "bundle"
_POLL_SECONDS = 1.0


def status_of(run: RunSummary) -> Status:
    """Return how a run stands; one that nobody executes any more has stopped."""
    if run.status == INTERRUPTED:
        return Status.STOPPED
    if run.status == "Failed":
        document = _result(run.run_dir, str(run.failed_step))
        return Status.REJECTED if is_rejected(run.failed_step, document.get("exit_code")) else Status.FAILED
    return Status(run.status)


@dataclass(frozen=True, slots=True)
class RunHere:
    """A run on this machine, as later ones depend on it."""

    id: str
    pipeline: str
    parameters: Mapping[str, Any]
    summary: RunSummary

    @classmethod
    def of(cls, run: RunSummary) -> Self:
        return cls(run.id, run.pipeline, run.parameters, run)

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
            ledger = _result(self.summary.run_dir, step).get("outputs", {}).get("new-ledger", {})
            found |= {key.removesuffix(".json") for key in ledger.get("keys", ())}
        return found

    def tuning_job(self) -> str | None:
        document = _result(self.summary.run_dir, TUNE.name)
        succeeded = document.get("status") == "Succeeded"
        return str(document["properties"]["HyperParameterTuningJobName"]) if succeeded else None


def runs_here(home: Path) -> Sequence[EarlierRun]:
    """Return every run of a home, the oldest first."""
    return [RunHere.of(run) for run in load_runs(home)]


def _result(run_dir: Path, step: str) -> dict[str, Any]:
    return dict(read_json(run_dir / "steps" / step / "result.json") or {})


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of a run, by what its steps have written down; `failed_step` is the one that ended it."""

    run_dir: Path
    failed_step: str | None
    store: LocalStore

    def folder(self, step: str, output: str) -> Path | None:
        """Return an output of a step that was published, or of the one that failed, whose folder is still there."""
        result = _result(self.run_dir, step)
        if found := result.get("outputs", {}).get(output):
            return self.store.path(str(found["uri"]))
        unpublished = self.run_dir / "steps" / step / "opt/ml/processing/output" / output
        return unpublished if self.failed_step == step and unpublished.is_dir() else None

    def validation(self) -> Path | None:
        """Return the folder of the validation's report."""
        found = self.folder(VALIDATE.name, "report")
        return found if found and (found / "validation.json").is_file() else None

    def evidence(self) -> tuple[str, Path] | None:
        """Return what the last verdict is about and the folder of its evidence."""
        bundle = self.folder(CONVERT.name, "bundle")
        if bundle and (bundle / "evidence" / REPORT).is_file():
            unpublished = ", which was not published" if self.failed_step == CONVERT.name else ""
            return f"the TFLite model{unpublished}", bundle / "evidence"
        evaluation = self.folder(EVALUATE.name, "evaluation")
        return ("the trained model", evaluation) if evaluation else None

    def evaluation(self) -> Mapping[str, Any] | None:
        """Return the last verdict, None before there is one."""
        evidence = self.evidence()
        return dict(read_whole(evidence[1] / EVALUATION)) if evidence else None

    def bundle(self) -> Path | None:
        """Return the folder of what phones get, None where nothing was published."""
        found = None if self.failed_step == CONVERT.name else self.folder(CONVERT.name, "bundle")
        return found / BUNDLE if found else None

    def report(self) -> Path | None:
        """Return the page to decide by: that of the verdict, else that of the data."""
        evidence = self.evidence()
        folder = evidence[1] if evidence else self.validation()
        return folder / REPORT if folder else None

    def registered(self) -> Mapping[str, Any] | None:
        """Return the properties of the registered version, None if there is none."""
        return _result(self.run_dir, REGISTER).get("properties") or None

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield what a person needs at the end, as far as the run got."""
        if validation := self.validation():
            yield from counts_of(read_whole(validation / "validation.json"))
            yield "Data page", str(validation / REPORT)
        if evidence := self.evidence():
            what, folder = evidence
            yield "Judged", what
            yield from figures(read_whole(folder / EVALUATION))
            yield "Report", str(folder / REPORT)
        if bundle := self.bundle():
            yield "Bundle", str(bundle)
        if registered := self.registered():
            group, version = registered["ModelPackageGroupName"], registered["ModelPackageVersion"]
            yield "Model", f"{group} version {version}, {registered['ModelApprovalStatus']}"
            if registered["ModelApprovalStatus"] == PENDING:
                yield "Next", f"tilegate report {version}    # what it can do, and where it errs"
                yield "", f"tilegate models approve {version} --by NAME --reason TEXT    # or reject"


def counts_of(counts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
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


def find_run(home: Path, wanted: str | None) -> RunSummary:
    """Return a run by its id, the beginning of it, or the name of its night; None is the newest. Raises UserError."""
    runs = load_runs(home)
    if not runs:
        raise UserError(f"there are no runs in {home}; `tilegate run` makes one")
    if found := [run for run in runs if wanted is None or wanted in (run.id, run.code_note)]:
        return found[-1]
    found = [run for run in runs if run.id.startswith(str(wanted))]
    if len(found) != 1:
        what = f"{len(found)} runs begin with" if found else "there is no run"
        raise UserError(f"{what} {wanted!r} in {home}; `tilegate runs` lists them")
    return found[0]


def outputs_of(home: Path, run: RunSummary) -> Outputs:
    return Outputs(run.run_dir, run.failed_step, LocalStore(home / "store"))


def local_standing(home: Path, wanted: str | None) -> Standing:
    """Look at a run, by default the newest."""
    run = find_run(home, wanted)
    outputs, started = outputs_of(home, run), datetime.fromtimestamp(run.started, UTC)
    goes_on = run.status == "Executing"
    execution = Execution(
        arn=run.id,
        name=run.code_note,
        status=run.status,
        started=started,
        ended=None if goes_on else started + timedelta(seconds=run.seconds),
        reason=run.reason or "",
    )
    places = {"report": outputs.report(), "data page": outputs.validation(), "bundle": outputs.bundle()}
    left = {name: str(path / REPORT if name == "data page" else path) for name, path in places.items() if path}
    if registered := outputs.registered():
        left["version"] = str(registered["ModelPackageVersion"])
    left["folder"] = str(run.run_dir)
    status = run.status if run.status == INTERRUPTED else str(status_of(run))
    return Standing(execution, status, tuple(_steps(run)), outputs.evaluation(), left)


def _steps(run: RunSummary) -> Iterator[StepState]:
    known = (read_json(run.run_dir / "state.json") or {}).get("steps", {})
    for name, step in known.items():
        failed, reason = step["status"] == "Failed", step["reason"] or ""
        note = f"reused: {reason}" if step["reused"] else reason
        reason, note = (reason, "") if failed else ("", note)
        yield StepState(name, step["status"], reason=reason, note=note, seconds=step["seconds"])
    for folder in sorted((run.run_dir / "steps").glob("*")) if run.status == "Executing" else ():
        if folder.name not in known:
            yield StepState(folder.name, "Executing")


def log_lines(home: Path, wanted: str | None, step: str | None, *, follow: bool) -> Iterator[tuple[str, str]]:
    """Yield what the jobs of a run have printed, job by job: the job, and a line; `follow` goes on until its end."""
    run = find_run(home, wanted)
    read = dict[Path, int]()
    if step and not (run.run_dir / "steps" / step).is_dir() and not follow:
        names = ", ".join(sorted(path.parent.name for path in (run.run_dir / "steps").glob("*/log.txt"))) or "none"
        raise UserError(f"{run.id} has no step {step!r} that has begun: {names}")
    while True:
        goes_on = follow and find_run(home, run.id).status == "Executing"
        for path in sorted(_logs(run.run_dir / "steps", step), key=lambda path: path.stat().st_ctime_ns):
            for line in _new_lines(path, read, whole=not goes_on):
                yield path.parent.name, printable(line, 2000)
        if not goes_on:
            return
        time.sleep(_POLL_SECONDS)


def _logs(steps: Path, step: str | None) -> Iterator[Path]:
    for folder in (steps / step,) if step else steps.glob("*"):
        yield from (path for pattern in ("log.txt", "*/log.txt", "trials/*/log.txt") for path in folder.glob(pattern))


def _new_lines(path: Path, read: dict[Path, int], *, whole: bool) -> Iterator[str]:
    """Yield the lines that a log has got since it was read; the last one only if it is `whole`."""
    with path.open("rb") as stream:
        stream.seek(read.get(path, 0))
        data = stream.read()
    end = len(data) if whole else data.rfind(b"\n") + 1
    read[path] = read.get(path, 0) + end
    for line in data[:end].decode(errors="replace").removesuffix("\n").split("\n") if end else ():
        # Of a bar that was drawn over itself, the last state.
        yield line.rstrip("\r").rpartition("\r")[2]
