"""The jobs that a definition starts, with the parameters of a start put in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.definition.requests import all_steps
from steps.core.common.errors import UserError

PROCESSING, TRAINING, TUNING = JOBS = ("Processing", "Training", "Tuning")
_TYPES = {"Integer": int, "Float": float}


@dataclass(frozen=True, slots=True)
class JobKind:
    """What a step starts: `jobs` jobs, at most `parallel` at a time, of `instances` machines with `volume_gb` each.

    `kind` is Processing, Training or Tuning. A job is stopped after `max_minutes` of work (MaxRuntimeInSeconds).
    """

    step: str
    kind: str
    instance_type: str
    instances: int
    jobs: int
    parallel: int
    volume_gb: int
    spot: bool
    max_minutes: float


def job_kinds(definition: Mapping[str, Any], chosen: Mapping[str, str] | None = None) -> list[JobKind]:
    """Return what the steps start, in the definition's order; steps without a job (conditions, …) are left out.

    `chosen` are parameters of the start by name, as text. Raises UserError for one that the definition does not have,
    and for a value that is none.
    """
    return list(_job_kinds(definition, _values(definition, chosen or {})))


def _values(definition: Mapping[str, Any], chosen: Mapping[str, str]) -> dict[str, Any]:
    kinds = {str(p["Name"]): str(p["Type"]) for p in definition["Parameters"]}
    values = {str(p["Name"]): p.get("DefaultValue") for p in definition["Parameters"]}
    for name, text in chosen.items():
        if name not in kinds:
            raise UserError(f"the definition has no parameter {name}: it has {', '.join(sorted(kinds))}")
        try:
            values[name] = _TYPES.get(kinds[name], str)(text)
        except ValueError:
            raise UserError(f"{name} {text!r}: a value of type {kinds[name]} is wanted") from None
    return values


def _job_kinds(definition: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[JobKind]:
    def resolved(value: Any) -> Any:
        return values[value["Get"].removeprefix("Parameters.")] if isinstance(value, Mapping) else value

    def count(request: Mapping[str, Any], name: str, step: str) -> int:
        number = int(resolved(request[name]))
        if number < 1:
            raise UserError(f"{name} of {step} is {number}: a number of at least 1 is wanted")
        return number

    for step in all_steps(definition):
        if step["Type"] not in JOBS:
            continue
        name, arguments, jobs, parallel = step["Name"], step["Arguments"], 1, 1
        job = arguments["TrainingJobDefinition"] if step["Type"] == TUNING else arguments
        is_processing = step["Type"] == PROCESSING
        cluster = job["ProcessingResources"]["ClusterConfig"] if is_processing else job["ResourceConfig"]
        if step["Type"] == TUNING:
            limits = arguments["HyperParameterTuningJobConfig"]["ResourceLimits"]
            jobs = count(limits, "MaxNumberOfTrainingJobs", name)
            parallel = count(limits, "MaxParallelTrainingJobs", name)
        yield JobKind(
            step=name,
            kind=step["Type"],
            instance_type=str(resolved(cluster["InstanceType"])),
            instances=count(cluster, "InstanceCount", name),
            jobs=jobs,
            parallel=parallel,
            volume_gb=count(cluster, "VolumeSizeInGB", name),
            spot=bool(resolved(job.get("EnableManagedSpotTraining", False))),
            max_minutes=count(job["StoppingCondition"], "MaxRuntimeInSeconds", name) / 60,
        )
