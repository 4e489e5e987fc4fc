"""Checks of what a step's request asks for on one machine, made before anything runs."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipelines.executor import conditions
from pipelines.executor.definition import Definition, Step
from pipelines.executor.errors import DefinitionError
from pipelines.executor.metrics import metric_definitions
from pipelines.executor.ranges import parse_ranges
from pipelines.executor.search import STRATEGIES
from pipelines.executor.stopping import AUTO, OFF
from pipelines.executor.warm import parent_names

_REQUIRED = {
    "Processing": ("AppSpecification.ImageUri",),
    "Training": ("AlgorithmSpecification.TrainingImage", "OutputDataConfig.S3OutputPath"),
    "Tuning": (
        "HyperParameterTuningJobConfig.Strategy",
        "HyperParameterTuningJobConfig.HyperParameterTuningJobObjective.Type",
        "HyperParameterTuningJobConfig.HyperParameterTuningJobObjective.MetricName",
        "HyperParameterTuningJobConfig.ResourceLimits",
        "TrainingJobDefinition.AlgorithmSpecification.TrainingImage",
        "TrainingJobDefinition.OutputDataConfig.S3OutputPath",
    ),
    "Condition": ("Conditions",),
    "Fail": (),
    "RegisterModel": (),
}
# Allowed values of what we would otherwise silently do differently from SageMaker.
_SUPPORTED = {
    "S3DataType": ("S3Prefix", "ManifestFile"),
    "S3InputMode": ("File",),
    "InputMode": ("File", "FastFile"),
    "TrainingInputMode": ("File", "FastFile"),
    "TrainingJobEarlyStoppingType": (OFF, AUTO),
    "S3DataDistributionType": ("FullyReplicated", "ShardedByS3Key"),
    "S3CompressionType": ("None",),
    "CompressionType": ("None",),
}


def check(definition: Definition) -> None:
    """Raise DefinitionError, with the step's name, for the first request that cannot run here."""
    types = {str(item.get("Name")): str(item.get("Type")) for item in definition.parameters}
    for step in definition.steps.values():
        try:
            _check_step(step, types)
        except DefinitionError as error:
            raise DefinitionError(f"step {step.name}: {error}") from None
        except (TypeError, AttributeError, KeyError) as error:
            raise DefinitionError(f"step {step.name}: its {step.type} arguments are malformed ({error!r})") from error


def _check_step(step: Step, types: Mapping[str, str]) -> None:
    _check_required(step)
    _CHECKS[step.type](step.arguments)
    if step.type in {"Processing", "Training", "Tuning"}:
        _check_modes(step.arguments)
        for where, value in _texts(step):
            _check_text(where, value, types)
        for name in _request(step).get("Environment") or {}:
            if not name or "=" in name or "\0" in name:
                raise DefinitionError(f"its Environment has the name {name!r}: wanted letters, digits and '_'")


def _check_required(step: Step) -> None:
    for path in _REQUIRED[step.type]:
        value: Any = step.arguments
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is None:
            raise DefinitionError(f"its {step.type} arguments lack {path}")


def _check_condition(arguments: Mapping[str, Any]) -> None:
    for condition in arguments["Conditions"]:
        conditions.check(condition)


def _check_processing(arguments: Mapping[str, Any]) -> None:
    for item in arguments.get("ProcessingInputs") or ():
        if "S3Input" not in item:
            raise DefinitionError(f"its input {item.get('InputName')!r} is not an S3Input: only those are supported")
    outputs = (arguments.get("ProcessingOutputConfig") or {}).get("Outputs") or ()
    for item in outputs:
        if "S3Output" not in item:
            raise DefinitionError(f"its output {item.get('OutputName')!r} is not an S3Output: only those are supported")
    places = [item["S3Input"].get("LocalPath") for item in arguments.get("ProcessingInputs") or ()]
    places += [item["S3Output"].get("LocalPath") for item in outputs]
    for place in places:
        # Nothing else is rewritten in the job's arguments, so it would write to the real folder of this machine.
        if isinstance(place, str) and not place.startswith("/opt/ml/"):
            raise DefinitionError(f"the LocalPath {place!r} is outside of /opt/ml/processing, where SageMaker wants it")


def _check_tuning(arguments: Mapping[str, Any]) -> None:
    config = arguments["HyperParameterTuningJobConfig"]
    strategy = config["Strategy"]
    ranges = config.get("ParameterRanges") or {}
    if isinstance(strategy, str) and strategy not in STRATEGIES:
        raise DefinitionError(
            f"the tuning strategy {strategy!r} does not run on one machine: use {' or '.join(STRATEGIES)}"
        )
    # Bounds may be pipeline variables; then the step itself checks them when it runs.
    if not any(True for _ in _variables(ranges)):
        parse_ranges(ranges)
    parent_names(arguments.get("WarmStartConfig"))
    names = [metric.name for metric in metric_definitions(arguments["TrainingJobDefinition"])]
    objective = config["HyperParameterTuningJobObjective"]
    if objective["Type"] not in {"Maximize", "Minimize"}:
        raise DefinitionError(f"its objective is of type {objective['Type']!r}: wanted Maximize or Minimize")
    if isinstance(objective["MetricName"], str) and objective["MetricName"] not in names:
        raise DefinitionError(
            f"its objective {objective['MetricName']!r} is in no MetricDefinitions "
            f"(there are {', '.join(names) or 'none'}), so no job could report it: define its regex"
        )


def _check_modes(value: Any) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in _SUPPORTED and isinstance(inner, str) and inner not in _SUPPORTED[key]:
                raise DefinitionError(
                    f"{key} is {inner!r}, which does not run on one machine: use {' or '.join(_SUPPORTED[key])}"
                )
            _check_modes(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_modes(inner)


def _variables(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        if set(value) == {"Get"} or any(key.startswith("Std:") for key in value):
            yield value
        for inner in value.values():
            yield from _variables(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _variables(inner)


def _request(step: Step) -> Mapping[str, Any]:
    return step.arguments["TrainingJobDefinition"] if step.type == "Tuning" else step.arguments


def _texts(step: Step) -> Iterator[tuple[str, Any]]:
    """Yield what the API declares as text: hyperparameters, the environment and the words of the command."""
    request = _request(step)
    for key in ("HyperParameters", "StaticHyperParameters", "Environment"):
        for name, value in (request.get(key) or {}).items():
            yield f"{key}.{name}", value
    application = request.get("AppSpecification") or request.get("AlgorithmSpecification") or {}
    for key in ("ContainerEntrypoint", "ContainerArguments"):
        for index, value in enumerate(application.get(key) or ()):
            yield f"{key}[{index}]", value


def _check_text(where: str, value: Any, types: Mapping[str, str]) -> None:
    what = None
    if isinstance(value, Mapping):
        name = str(value.get("Get", "")).removeprefix("Parameters.")
        if set(value) == {"Get"} and types.get(name, "String") != "String":
            what = f"the {types[name]} parameter {name}"
    elif not isinstance(value, str):
        what = repr(value)
    elif "\0" in value:
        raise DefinitionError(f"{where} is {value!r}: no program can be given a text with a NUL")
    if what is not None:
        raise DefinitionError(f"{where} is {what}, but SageMaker takes text only there: use its .to_string()")


_CHECKS: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "Processing": _check_processing,
    "Training": metric_definitions,
    "Tuning": _check_tuning,
    "Condition": _check_condition,
    "Fail": lambda _: None,
    "RegisterModel": lambda _: None,
}
