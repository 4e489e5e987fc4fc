"""Each step's request held against botocore's own model of the SageMaker API, before anything is sent there."""

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

_OPERATIONS = {
    "Processing": ("CreateProcessingJob", "ProcessingJobName"),
    "Training": ("CreateTrainingJob", "TrainingJobName"),
    "Tuning": ("CreateHyperParameterTuningJob", "HyperParameterTuningJobName"),
    "RegisterModel": ("CreateModelPackage", None),
}
_REFERENCES = ("Get", "Std:Join", "Std:JsonGet")
_NUMBERS = ("integer", "long", "float", "double")
_SIZED = {"string": "characters", "list": "items", "map": "entries"}


class _Unknown(str):
    """Stands for what only an execution knows: a string of any length and form."""

    __slots__ = ()


_UNKNOWN = _Unknown("text")


def all_steps(definition: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield every step, those in the branches of conditions among them."""
    waiting = list(definition["Steps"])
    while waiting:
        step = waiting.pop(0)
        yield step
        if step["Type"] == "Condition":
            waiting += step["Arguments"].get("IfSteps", []) + step["Arguments"].get("ElseSteps", [])


def resolved_steps(definition: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield every step with values for references: a parameter's default, a text for whatever else."""
    defaults = {p["Name"]: p.get("DefaultValue", _UNKNOWN) for p in definition.get("Parameters", [])}
    for step in all_steps(definition):
        yield {**step, "Arguments": _without_references(step["Arguments"], defaults)}


def check_requests(definition: Mapping[str, Any]) -> list[str]:
    """Return what the API's model finds wrong with the steps' requests, a sentence each; none if they are all valid.

    Beside what botocore checks these are the most of everything, the forms of strings, and values that have to be one
    of some.
    """
    from botocore.validate import ParamValidator

    problems = []
    for step in resolved_steps(definition):
        if step["Type"] not in _OPERATIONS:
            continue
        operation, job_name = _OPERATIONS[step["Type"]]
        request = step["Arguments"] | ({job_name: "job"} if job_name else {})
        shape = _service_model().operation_model(operation).input_shape
        report = ParamValidator().validate(request, shape)
        if report.has_errors():
            problems.append(f"{step['Name']} ({operation}): {report.generate_report()}")
        else:
            problems += [f"{step['Name']} ({operation}): {problem}" for problem in _beyond(request, shape, "")]
    return problems


@functools.cache
def _service_model() -> Any:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model("sagemaker", "service-2"))


def _beyond(value: Any, shape: Any, path: str) -> Iterator[str]:
    """Yield where a value goes beyond what its shape allows and botocore does not check."""
    most = shape.metadata.get("max")
    if most is not None and shape.type_name in _SIZED and len(value) > most:
        yield f"{path} has {len(value):,} {_SIZED[shape.type_name]}, and at most {most:,} are allowed"
    if most is not None and shape.type_name in _NUMBERS and value > most:
        yield f"{path} is {value:,}, and at most {most:,} is allowed"
    if shape.type_name == "string" and not isinstance(value, _Unknown):
        yield from _malformed(value, shape, path)
    if shape.type_name == "structure":
        for name, item in value.items():
            yield from _beyond(item, shape.members[name], f"{path}.{name}".lstrip("."))
    if shape.type_name == "list":
        for number, item in enumerate(value):
            yield from _beyond(item, shape.member, f"{path}[{number}]")
    if shape.type_name == "map":
        for name, item in value.items():
            yield from _beyond(name, shape.key, f"{path}'s key")
            yield from _beyond(item, shape.value, f"{path}.{name}")


def _malformed(value: str, shape: Any, path: str) -> Iterator[str]:
    if shape.enum and value not in shape.enum:
        yield f"{path} is {value!r}, which is none of the {len(shape.enum)} values that this release of boto3 knows"
    if (pattern := _pattern(shape.metadata.get("pattern", ""))) and not pattern.fullmatch(value):
        yield f"{path} is {value!r}, and has to have the form {pattern.pattern}"


@functools.cache
def _pattern(text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text, re.DOTALL) if text else None
    except re.error:  # the model's are Java's, and a few have what Python's have not
        return None


def _without_references(value: Any, defaults: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if len(value) == 1 and next(iter(value)) in _REFERENCES:
            kind, name, found = str(value.get("Get", "")).partition(".")
            return defaults.get(found, _UNKNOWN) if kind == "Parameters" and name else _UNKNOWN
        return {key: _without_references(item, defaults) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_references(item, defaults) for item in value]
    return value
