"""Each step's request held against botocore's own model of the SageMaker API, before anything is sent there."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

_OPERATIONS = {
    "Processing": ("CreateProcessingJob", "ProcessingJobName"),
    "Training": ("CreateTrainingJob", "TrainingJobName"),
    "Tuning": ("CreateHyperParameterTuningJob", "HyperParameterTuningJobName"),
    "RegisterModel": ("CreateModelPackage", None),
}
_REFERENCES = ("Get", "Std:Join", "Std:JsonGet")


def all_steps(definition: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield every step, those in the branches of conditions among them."""
    waiting = list(definition["Steps"])
    while waiting:
        step = waiting.pop(0)
        yield step
        if step["Type"] == "Condition":
            waiting += step["Arguments"].get("IfSteps", []) + step["Arguments"].get("ElseSteps", [])


def check_requests(definition: Mapping[str, Any]) -> list[str]:
    """Return what botocore finds wrong with the steps' requests, a sentence each; none if they are all valid.

    References are replaced by values of their kind: a parameter by its default, anything else by a string.
    """
    from botocore.validate import ParamValidator

    defaults = {p["Name"]: p.get("DefaultValue", "text") for p in definition.get("Parameters", [])}
    problems = []
    for step in all_steps(definition):
        if step["Type"] not in _OPERATIONS:
            continue
        operation, job_name = _OPERATIONS[step["Type"]]
        request = _without_references(step["Arguments"], defaults) | ({job_name: "job"} if job_name else {})
        report = ParamValidator().validate(request, _service_model().operation_model(operation).input_shape)
        if report.has_errors():
            problems.append(f"{step['Name']} ({operation}): {report.generate_report()}")
    return problems


@functools.cache
def _service_model() -> Any:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model("sagemaker", "service-2"))


def _without_references(value: Any, defaults: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if len(value) == 1 and next(iter(value)) in _REFERENCES:
            kind, name, found = str(value.get("Get", "")).partition(".")
            return defaults[found] if kind == "Parameters" and name else "text"
        return {key: _without_references(item, defaults) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_references(item, defaults) for item in value]
    return value
