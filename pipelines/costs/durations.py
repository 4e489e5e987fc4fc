"""How long jobs take: told by a person, measured in a run on this machine, or assumed."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.costs.jobs import JOBS, TUNING, JobKind
from steps.core.common.errors import UserError

# Nobody has measured these: they stand for some ten thousand screenshots and the default instances. A trial's minutes
# for the tuning.
ASSUMED_MINUTES: Mapping[str, float] = {
    "ValidateData": 15,
    "PreprocessTiles": 15,
    "IndexTiles": 5,
    "TuneHyperparameters": 40,
    "TrainModel": 90,
    "EvaluateModel": 15,
    "ConvertToTFLite": 45,
}
TOLD, MEASURED, ASSUMED = "told", "run", "assumed"


@dataclass(frozen=True, slots=True)
class Duration:
    """Minutes of one job's work, without its start-up; `source` is told, run or assumed."""

    minutes: float
    source: str


def durations(
    kinds: Sequence[JobKind], told: Mapping[str, float] | None = None, measured: Mapping[str, float] | None = None
) -> dict[str, Duration]:
    """Return the duration of each step's job: as told, else as measured, else as assumed.

    Raises UserError for a step that the definition does not have or nothing is known about, and for minutes that are
    none or that no job can take.
    """
    told, measured, known = told or {}, measured or {}, {kind.step for kind in kinds}
    if unknown := sorted(told.keys() - known):
        raise UserError(f"{', '.join(unknown)} starts no job: those that do are {', '.join(sorted(known))}")
    return {kind.step: _duration(kind, told, measured) for kind in kinds}


def _duration(kind: JobKind, told: Mapping[str, float], measured: Mapping[str, float]) -> Duration:
    for source, minutes in ((TOLD, told), (MEASURED, measured), (ASSUMED, ASSUMED_MINUTES)):
        if kind.step in minutes:
            found = Duration(minutes[kind.step], source)
            break
    else:
        raise UserError(f"how long does {kind.step} take? Give its minutes, or name a finished run")
    if not (math.isfinite(found.minutes) and found.minutes >= 0):
        raise UserError(f"{kind.step} {found.minutes}: a number of minutes is wanted, 0 or more")
    if found.minutes > kind.max_minutes:
        raise UserError(
            f"{kind.step} {found.minutes:g} minutes: the definition stops each of its jobs after {kind.max_minutes:g}"
        )
    return found


def minutes_of_run(run_dir: Path) -> dict[str, float]:
    """Return how long each step's job took in a run on this machine, in minutes; of a tuning, its mean trial.

    A step that was taken over from an earlier run took what it took there; a tuning that was is left out, because its
    trials are not told, and so is what did not succeed. Raises UserError if nothing is left.
    """
    found: dict[str, float] = {}
    for path in sorted(run_dir.glob("steps/*/result.json")):
        result = _read(path)
        if result.get("type") not in JOBS or result.get("status") != "Succeeded":
            continue
        if result["type"] != TUNING:
            found[path.parent.name] = float(result["seconds"]) / 60
        elif trials := [_read(trial)["trial"]["seconds"] for trial in path.parent.glob("trials/*/result.json")]:
            found[path.parent.name] = sum(trials) / len(trials) / 60
    if not found:
        raise UserError(f"{run_dir} has no step that ran to its end: `tilegate runs` lists runs, or give the minutes")
    return found


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
