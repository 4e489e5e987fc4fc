"""Warm starts: the trials of earlier tuning jobs of this home, found by the names in a request's WarmStartConfig."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from pipelines.executor.errors import DefinitionError
from pipelines.executor.files import read_json

OBJECTIVE = "FinalHyperParameterTuningJobObjectiveMetric"


@dataclass(frozen=True, slots=True)
class EarlierTrial:
    """Hyperparameters that were tried, as text, and the objective that they reached on the data of their time."""

    tuned: Mapping[str, str]
    objective: float


Night = tuple[EarlierTrial, ...]


def earlier_night(runs: Path, name: str) -> Night:
    """Return the trials of a tuning job in the folder of runs; raises DefinitionError if it is not there."""
    # A job's name holds the id of the execution that ran it, which is the name of its folder.
    for run in (folder for folder in runs.iterdir() if folder.name in name):
        for path in run.glob("steps/*/result.json"):
            properties = (read_json(path) or {}).get("properties") or {}
            if properties.get("HyperParameterTuningJobName") == name:
                jobs = [job for job in properties["TrainingJobSummaries"] if OBJECTIVE in job]
                return tuple(EarlierTrial(job["TunedHyperParameters"], job[OBJECTIVE]["Value"]) for job in jobs)
    raise DefinitionError(f"the parent tuning job {name!r} is not in {runs}: name one that succeeded on this machine")


def nights_digest(nights: Sequence[Night]) -> str:
    """Return what a cache compares: what was tried and what it reached, not by which job."""
    tried = [[astuple(trial) for trial in night] for night in nights]
    return hashlib.sha256(json.dumps(tried, sort_keys=True).encode()).hexdigest()
