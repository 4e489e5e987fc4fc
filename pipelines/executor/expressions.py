"""The references of a pipeline definition (`Get`, `Std:Join`, `Std:JsonGet`): finding them and evaluating them."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.executor.errors import DefinitionError

Path = tuple[str | int, ...]
ReadProperty = Callable[[str, str, Path], Any]
ReadObject = Callable[[str, Path], Any]

EXECUTION_VARIABLES = (
    "PipelineExecutionId",
    "PipelineExecutionArn",
    "PipelineName",
    "PipelineArn",
    "StartDateTime",
    "CurrentDateTime",
    "TrainingJobName",
    "ProcessingJobName",
)
_TOKEN = re.compile(r"""\.?(?:([^.\[\]'"\s]+)|\[\s*(?:'([^']*)'|"([^"]*)"|(\d+))\s*\])""")
# The API returns lists where the property paths of a definition name the element: FinalMetricDataList['loss'].
_NAME_KEYS = ("MetricName", "OutputName", "InputName", "ChannelName", "Name")


@dataclass(frozen=True, slots=True)
class Reference:
    """`Parameters.X` has no path, `Steps.S.a.b` a path, `Execution.X` neither step nor path."""

    kind: str
    name: str
    path: Path = ()


def parse_path(path: str) -> Path:
    """Split `a.b['c'][0]` (a leading `$.` is allowed) into its keys and indices; raises DefinitionError."""
    text, at, keys = path.removeprefix("$"), 0, list[str | int]()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or (match.start() == 0 and text.startswith(".") and not path.startswith("$")):
            raise DefinitionError(f"the path {path!r} is not readable at {text[at:]!r}: write it as a.b['c'][0]")
        bare, single, double, index = match.groups()
        keys.append(int(index) if index is not None else next(k for k in (bare, single, double) if k is not None))
        at = match.end()
    if not keys:
        raise DefinitionError(f"the path {path!r} is empty: write it as a.b['c'][0]")
    return tuple(keys)


def parse_get(text: Any) -> Reference:
    """Read the text of a `Get`; raises DefinitionError if it names neither a parameter, a step nor the execution."""
    kind, _, rest = text.partition(".") if isinstance(text, str) else ("", "", "")
    name, _, path = rest.partition(".")
    if kind == "Parameters" and rest:
        return Reference(kind, rest)
    if kind == "Execution" and rest in EXECUTION_VARIABLES:
        return Reference(kind, rest)
    if kind == "Steps" and name and path:
        return Reference(kind, name, parse_path(path))
    raise DefinitionError(
        f"the reference {text!r} is not known: wanted Parameters.<name>, Steps.<step>.<property> or Execution.<one of "
        f"{', '.join(EXECUTION_VARIABLES)}>"
    )


def references(expression: Any) -> Iterator[Reference]:
    """Yield each reference in a JSON value, in reading order; raises DefinitionError for a malformed one."""
    if isinstance(expression, Mapping):
        if set(expression) == {"Get"}:
            yield parse_get(expression["Get"])
            return
        for key, value in expression.items():
            if key.startswith("Std:"):
                _check_function(key, value)
            yield from references(value)
    elif isinstance(expression, list):
        for value in expression:
            yield from references(value)


def _check_function(name: str, body: Any) -> None:
    if name == "Std:Join" and isinstance(body, Mapping) and isinstance(body.get("Values"), list):
        return
    if name == "Std:JsonGet" and isinstance(body, Mapping) and isinstance(body.get("Path"), str):
        parse_path(body["Path"])
        if "S3Uri" in body:
            return
        source = next(references(body.get("PropertyFile")), None)
        if source and source.kind == "Steps" and len(source.path) > 1 and source.path[0] == "PropertyFiles":
            return
    raise DefinitionError(
        f"{name} with {str(body)[:200]!r} is not known: wanted Std:Join with On and Values, "
        "or Std:JsonGet with Path and either PropertyFile or S3Uri"
    )


def name_of(expression: Any) -> str:
    """Return what people call the value of a reference: `Limit`, `Evaluate's gate.failed`; "" for any other value."""
    body: Mapping[str, Any] = expression if isinstance(expression, Mapping) else {}
    body = body.get("Std:JsonGet", body)
    source = body.get("PropertyFile", body)
    reference = parse_get(source["Get"]) if "Get" in source else None
    path = body.get("Path") or ".".join(map(str, reference.path if reference else ()))
    if reference is None or reference.kind != "Steps":
        return reference.name if reference else path
    return f"{reference.name}'s {path}"


def to_text(value: Any) -> str:
    """Write a value as SageMaker does where a string is wanted: booleans in lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def walk(value: Any, path: Path, what: str) -> Any:
    """Follow `path` into a JSON value; raises DefinitionError that names `what` and the key that is not there."""
    for at, key in enumerate(path):
        found = _child(value, key)
        if found is None:
            there = sorted(map(str, value)) if isinstance(value, Mapping) else type(value).__name__
            shown = ".".join(map(str, path[:at])) or "its top"
            raise DefinitionError(f"{what} has no {key!r} at {shown}, which holds {there}: correct the path")
        value = found[0]
    return value


def _child(value: Any, key: str | int) -> tuple[Any] | None:
    if isinstance(value, Mapping) and str(key) in value:
        return (value[str(key)],)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return (value[key],)
    if isinstance(value, list) and isinstance(key, str):
        named = (item for item in value if isinstance(item, Mapping) and key in [item.get(name) for name in _NAME_KEYS])
        return next(((item,) for item in named), None)
    return None


@dataclass(frozen=True, slots=True)
class Scope:
    """What references can see while a step is evaluated.

    `read_property_file(step, property file, path)` and `read_object(s3 uri, path)` answer Std:JsonGet.
    """

    parameters: Mapping[str, Any]
    execution: Mapping[str, str]
    steps: Mapping[str, Mapping[str, Any]]
    read_property_file: ReadProperty
    read_object: ReadObject
    job_names: Mapping[str, str] = field(default_factory=dict)

    def for_job(self, name: str) -> "Scope":
        return replace(self, job_names={"TrainingJobName": name, "ProcessingJobName": name})

    def evaluate(self, expression: Any) -> Any:
        """Return the value of an expression of the definition; raises DefinitionError if a part of it has none."""
        if isinstance(expression, list):
            return [self.evaluate(value) for value in expression]
        if not isinstance(expression, Mapping):
            return expression
        if set(expression) == {"Get"}:
            return self._get(expression["Get"])
        if "Std:Join" in expression:
            join = expression["Std:Join"]
            return join.get("On", "").join(to_text(self.evaluate(value)) for value in join["Values"])
        if "Std:JsonGet" in expression:
            return self._json_get(expression["Std:JsonGet"])
        return {key: self.evaluate(value) for key, value in expression.items()}

    def _get(self, text: str) -> Any:
        reference = parse_get(text)
        if reference.kind == "Parameters":
            return self.parameters[reference.name]
        if reference.kind == "Steps":
            if reference.name not in self.steps:
                raise DefinitionError(f"{text} has no value: the step {reference.name} did not run in this execution")
            return walk(self.steps[reference.name], reference.path, text)
        values = {**self.execution, **self.job_names}
        if reference.name not in values:
            raise DefinitionError(f"{text} has no value here: it exists only within a job's own arguments")
        return values[reference.name]

    def _json_get(self, body: Mapping[str, Any]) -> Any:
        path = parse_path(body["Path"])
        if "S3Uri" in body:
            return self.read_object(self.evaluate(body["S3Uri"]), path)
        source = parse_get(body["PropertyFile"]["Get"])
        return self.read_property_file(source.name, ".".join(map(str, source.path[1:])), path)
