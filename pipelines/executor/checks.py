"""Checks of what a step's request asks for on one machine, made before anything runs."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.executor import conditions
from pipelines.executor.definition import Definition, Step
from pipelines.executor.errors import DefinitionError
from pipelines.executor.expressions import references
from pipelines.executor.search import parse_ranges
from pipelines.executor.stopping import AUTO, OFF
from pipelines.executor.training import CHECKPOINTS, metric_definitions

# Where a value changes what a job does: those that run here as in SageMaker.
_SUPPORTED: Mapping[str, tuple[str, ...]] = {
    "S3DataType": ("S3Prefix", "ManifestFile"),
    "S3InputMode": ("File",),
    "InputMode": ("File", "FastFile"),
    "TrainingInputMode": ("File", "FastFile"),
    "S3DataDistributionType": ("FullyReplicated", "ShardedByS3Key"),
    "S3CompressionType": ("None",),
    "CompressionType": ("None",),
    "Strategy": ("Bayesian",),
    "ScalingType": ("Linear", "Logarithmic"),
    "TrainingJobEarlyStoppingType": (OFF, AUTO),
    "WarmStartType": ("TransferLearning",),
}
_NEVER = ("CategoricalParameterRanges", "AutoParameters", "DatasetDefinition", "FeatureStoreOutput")
# Their names are the program's own, but for those by which the SDK hands a script to an image of AWS.
_FREE = ("HyperParameters", "StaticHyperParameters", "Environment")
_SCRIPT_MODE = ("sagemaker_program", "sagemaker_submit_directory")


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
    if step.type == "Condition":
        for condition in step.arguments["Conditions"]:
            conditions.check(condition)
    if step.type in {"Processing", "Training", "Tuning"}:
        request = step.arguments["TrainingJobDefinition"] if step.type == "Tuning" else step.arguments
        _check_settings(step.arguments)
        if step.type == "Processing":
            _check_places(request)
        else:
            _check_training(request)
        if step.type == "Tuning":
            _check_tuning(step.arguments)
        for where, value in _texts(request):
            _check_text(where, value, types)


def _check_places(arguments: Mapping[str, Any]) -> None:
    """Refuse places that nothing rewrites in the job's arguments: it would write to the real folder of this machine."""
    inputs = [item["S3Input"] for item in arguments.get("ProcessingInputs") or ()]
    outputs = [item["S3Output"] for item in (arguments.get("ProcessingOutputConfig") or {}).get("Outputs") or ()]
    for place in (item["LocalPath"] for item in inputs + outputs):
        if not str(place).startswith("/opt/ml/"):
            raise DefinitionError(f"the LocalPath {place!r} is outside of /opt/ml/processing, where SageMaker wants it")


def _check_training(request: Mapping[str, Any]) -> None:
    metric_definitions(request)
    if {"ContainerEntrypoint", "ContainerArguments"} & request["AlgorithmSpecification"].keys():
        raise DefinitionError("its training has a command of its own: make it the entry point of its image")
    place = (request.get("CheckpointConfig") or {}).get("LocalPath", CHECKPOINTS)
    if place != CHECKPOINTS:
        raise DefinitionError(f"its checkpoints are at {place!r}, which does not run on one machine: use {CHECKPOINTS}")


def _check_tuning(arguments: Mapping[str, Any]) -> None:
    config = arguments["HyperParameterTuningJobConfig"]
    if "RandomSeed" not in config:
        raise DefinitionError("its search has no RandomSeed: give it one, for a resumed run to go on where it was")
    # Bounds may be pipeline variables; then the step itself checks them when it runs.
    if next(references(config["ParameterRanges"]), None) is None:
        parse_ranges(config["ParameterRanges"])
    names = metric_definitions(arguments["TrainingJobDefinition"])
    kind, name = (config["HyperParameterTuningJobObjective"][key] for key in ("Type", "MetricName"))
    if kind != "Maximize":
        raise DefinitionError(f"its objective is of type {kind!r}, which does not run on one machine: use Maximize")
    if name not in names:
        raise DefinitionError(
            f"its objective {name!r} is in no MetricDefinitions (there are {', '.join(names) or 'none'}), so no job "
            "could report it: define its regex"
        )


def _check_settings(value: Any) -> None:
    if isinstance(value, list):
        for inner in value:
            _check_settings(inner)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if inner and key in (*_NEVER, *_SCRIPT_MODE):
                raise DefinitionError(f"{key} is {inner!r}, which does not run on one machine: leave it out")
            if key in _FREE:
                _check_settings({name: inner[name] for name in _SCRIPT_MODE if name in (inner or ())})
                continue
            if inner and key in _SUPPORTED and inner not in _SUPPORTED[key]:
                mend = " or ".join(_SUPPORTED[key])
                raise DefinitionError(f"{key} is {inner!r}, which does not run on one machine: use {mend}")
            _check_settings(inner)


def _texts(request: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what the API declares as text: hyperparameters, the environment and the words of the command."""
    for key in ("HyperParameters", "StaticHyperParameters", "Environment"):
        for name, value in (request.get(key) or {}).items():
            yield f"{key}.{name}", value
    for key in ("ContainerEntrypoint", "ContainerArguments"):
        for index, value in enumerate((request.get("AppSpecification") or {}).get(key) or ()):
            yield f"{key}[{index}]", value


def _check_text(where: str, value: Any, types: Mapping[str, str]) -> None:
    what = "" if isinstance(value, str | Mapping) else repr(value)
    if isinstance(value, Mapping):
        name = str(value.get("Get", "")).removeprefix("Parameters.")
        if types.get(name, "String") != "String":
            what = f"the {types[name]} parameter {name}"
    if what:
        raise DefinitionError(f"{where} is {what}, but SageMaker takes text only there: use its .to_string()")
