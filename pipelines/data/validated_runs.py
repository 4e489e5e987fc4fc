"""The runs that validated data, and the tables that ValidateData left in them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.definition.step_table import VALIDATE
from pipelines.executor.files import read_json
from pipelines.executor.runs import RunSummary, load_runs
from pipelines.executor.store import LocalStore
from steps.core.common.errors import UserError
from steps.core.dataset.classes import AUTO
from steps.core.dataset.plan import Plan, Source
from steps.core.dataset.snapshot import Place
from steps.core.dataset.tables import DATASET, QUARANTINE


@dataclass(frozen=True, slots=True)
class ValidatedRun:
    """A run that validated `source`, or was stopped by it: `tables` is the folder with its two tables."""

    run: RunSummary
    source: Source
    tables: Path

    @property
    def is_ad_hoc(self) -> bool:
        """Tell whether the data were named with `--data`, or the sample, and are not in the catalogue."""
        return self.source.place != Place()


def validated_runs(home: Path) -> Iterator[ValidatedRun]:
    """Yield the runs whose tables are still in the store, the newest first, those that took them over included."""
    found = (_validated(run, home) for run in reversed(load_runs(home)))
    yield from (run for run in found if run)


def find_stopped(home: Path, run: str | None = None) -> ValidatedRun | None:
    """Return the newest run, or the one called `run`, if a rule stopped it: its `tables` lack the dataset.

    None if that run did not end in ValidateData, or too early to leave the refused rows.
    """
    last = next((known for known in reversed(load_runs(home)) if run in (None, known.id)), None)
    if last is None or last.failed_step != VALIDATE.name:
        return None
    # A failed job publishes nothing of this, but its folder is still there.
    tables = last.run_dir / "steps" / VALIDATE.name / "opt/ml/processing/output/report"
    source = _source(last, home)
    return ValidatedRun(last, source, tables) if source and (tables / QUARANTINE).is_file() else None


def find_validated(home: Path, run: str | None = None) -> ValidatedRun:
    """Return the newest run that validated, or the one called `run`; raises UserError if there is none."""
    if run is None:
        found = next(validated_runs(home), None)
        if found is None:
            failed = [known for known in load_runs(home) if known.failed_step == VALIDATE.name]
            why = f" ({failed[-1].id}: {failed[-1].reason})" if failed else ""
            raise UserError(
                f"no run in {home} got through {VALIDATE.name}{why}: `tilegate data validate` runs it alone"
            )
        return found
    summary = next((known for known in load_runs(home) if known.id == run), None)
    if summary is None:
        raise UserError(f"there is no run {run!r} in {home}; `tilegate runs` lists them")
    if validated := _validated(summary, home):
        return validated
    ended = f"it ended in {summary.failed_step}: {summary.reason}" if summary.failed_step else summary.status
    raise UserError(f"the run {run} left no validated data ({ended}); `tilegate data validate` starts anew")


def stopped_since(home: Path, validated: ValidatedRun) -> RunSummary | None:
    """Return the newest run after `validated` that its validation ended, None if there is none."""
    later = (run for run in reversed(load_runs(home)) if run.id > validated.run.id)
    return next((run for run in later if run.failed_step == VALIDATE.name), None)


def as_last_run(home: Path, parameter: str) -> str:
    """Return what the catalogue's last run was told of how labels are read."""
    last = next((found for found in validated_runs(home) if not found.is_ad_hoc), None)
    return str(last.run.parameters.get(parameter, AUTO)) if last else AUTO


def _validated(run: RunSummary, home: Path) -> ValidatedRun | None:
    result: Any = read_json(run.run_dir / "steps" / VALIDATE.name / "result.json")
    if not result or result["status"] != "Succeeded" or "screenshots" not in result["outputs"]:
        return None
    tables, source = LocalStore(home / "store").path(result["outputs"]["screenshots"]["uri"]), _source(run, home)
    is_whole = all((tables / name).is_file() for name in (DATASET, QUARANTINE))
    return ValidatedRun(run, source, tables) if source and is_whole else None


def _source(run: RunSummary, home: Path) -> Source | None:
    """Return the snapshot of a run, None if its plan is gone or of another version: then nobody knows its batches."""
    uri = run.parameters.get("PlanUri")
    try:
        return Plan.read(LocalStore(home / "store").path(str(uri))).source if uri else None
    except UserError:
        return None
