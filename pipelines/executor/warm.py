"""Warm starts: the trials of earlier tuning jobs of this home, found by the names in a request's WarmStartConfig."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from pipelines.executor.errors import DefinitionError
from pipelines.executor.files import read_json

TRANSFER = "TransferLearning"
_MOST_PARENTS = 5
_OBJECTIVE = "FinalHyperParameterTuningJobObjectiveMetric"


@dataclass(frozen=True, slots=True)
class EarlierTrial:
    """Hyperparameters that were tried, as text, and the objective that they reached on the data of their time."""

    tuned: Mapping[str, str]
    objective: float


Night = tuple[EarlierTrial, ...]


def parent_names(config: Mapping[str, Any] | None) -> list[Any]:
    """Return the names in a WarmStartConfig, which may still be references; raises DefinitionError for another kind.

    IdenticalDataAndAlgorithm would compare objectives across jobs and look for the best of all of them.
    """
    if not config:
        return []
    if config.get("WarmStartType") != TRANSFER:
        raise DefinitionError(
            f"the WarmStartType {config.get('WarmStartType')!r} does not run on one machine: use {TRANSFER!r}"
        )
    names = [parent.get("HyperParameterTuningJobName") for parent in config["ParentHyperParameterTuningJobs"]]
    if not 1 <= len(names) <= _MOST_PARENTS:
        raise DefinitionError(f"the WarmStartConfig names {len(names)} parents: SageMaker takes 1 to {_MOST_PARENTS}")
    return names


def earlier_nights(runs: Path, names: Sequence[str]) -> tuple[Night, ...]:
    """Return the trials of each named tuning job in the folder of runs; raises DefinitionError if one is not there."""
    return tuple(_trials(runs, name) for name in names)


def nights_digest(nights: Sequence[Night]) -> str:
    """Return what a cache compares: what was tried and what came of it, not by which job."""
    tried = [[astuple(trial) for trial in night] for night in nights]
    return hashlib.sha256(json.dumps(tried, sort_keys=True).encode()).hexdigest()


def _trials(runs: Path, name: str) -> Night:
    # A job's name holds the id of the execution that ran it, which is the name of its folder.
    for run in (folder for folder in runs.iterdir() if folder.name in name):
        for path in run.glob("steps/*/result.json"):
            properties = (read_json(path) or {}).get("properties") or {}
            if properties.get("HyperParameterTuningJobName") == name:
                jobs = [(job, job.get(_OBJECTIVE)) for job in properties["TrainingJobSummaries"]]
                return tuple(EarlierTrial(job["TunedHyperParameters"], told["Value"]) for job, told in jobs if told)
    raise DefinitionError(f"the parent tuning job {name!r} is not in {runs}: name one that succeeded on this machine")
