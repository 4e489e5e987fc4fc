"""The references of a pipeline definition (`Get`, `Std:Join`, `Std:JsonGet`): finding them and evaluating them."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.executor.errors import DefinitionError

Path = tuple[str, ...]
ReadProperty = Callable[[str, str, Path], Any]

_EXECUTION_ID = "PipelineExecutionId"
_PATH = re.compile(r"[^.\[\]'\s]+(\.[^.\[\]'\s]+|\['[^']+'\])*")
_KEY = re.compile(r"\['([^']+)'\]|([^.\[\]'\s]+)")


@dataclass(frozen=True, slots=True)
class Reference:
    """`Parameters.X` has no path, `Steps.S.a.b` a path, `Execution.PipelineExecutionId` neither step nor path."""

    kind: str
    name: str
    path: Path = ()


def parse_path(path: str) -> Path:
    """Split `a.b['c']` into its keys; raises DefinitionError."""
    if not _PATH.fullmatch(path):
        raise DefinitionError(f"the path {path!r} is not readable: write it as a.b['c']")
    return tuple(quoted or bare for quoted, bare in _KEY.findall(path))


def parse_get(text: Any) -> Reference:
    """Read the text of a `Get`; raises DefinitionError if it names neither a parameter, a step nor the execution."""
    kind, _, rest = text.partition(".") if isinstance(text, str) else ("", "", "")
    name, _, path = rest.partition(".")
    if (kind == "Parameters" and rest) or (kind, rest) == ("Execution", _EXECUTION_ID):
        return Reference(kind, rest)
    if kind == "Steps" and name and path:
        return Reference(kind, name, parse_path(path))
    raise DefinitionError(
        f"the reference {text!r} is not known: wanted Parameters.<name>, Steps.<step>.<property> or "
        f"Execution.{_EXECUTION_ID}"
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
        source = next(references(body.get("PropertyFile")), None)
        if source and source.kind == "Steps" and len(source.path) == 2 and source.path[0] == "PropertyFiles":  # noqa: PLR2004
            return
    raise DefinitionError(
        f"{name} with {str(body)[:200]!r} is not known: wanted Std:Join with On and Values, "
        "or Std:JsonGet with Path and PropertyFile"
    )


def name_of(expression: Any) -> str:
    """Return what people call the value of a reference: `Limit`, `Evaluate's gate.failed`; "" for any other value."""
    body: Mapping[str, Any] = expression if isinstance(expression, Mapping) else {}
    body = body.get("Std:JsonGet", body)
    source = body.get("PropertyFile", body)
    if "Get" not in source:
        return ""
    reference = parse_get(source["Get"])
    path = body.get("Path") or ".".join(reference.path)
    return f"{reference.name}'s {path}" if reference.kind == "Steps" else reference.name


def to_text(value: Any) -> str:
    """Write a value as SageMaker does where a string is wanted: booleans in lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def walk(value: Any, path: Path, what: str) -> Any:
    """Follow `path` into a JSON value; raises DefinitionError that names `what` and the key that is not there."""
    for at, key in enumerate(path):
        if not isinstance(value, Mapping) or key not in value:
            there = sorted(map(str, value)) if isinstance(value, Mapping) else type(value).__name__
            shown = ".".join(path[:at]) or "its top"
            raise DefinitionError(f"{what} has no {key!r} at {shown}, which holds {there}: correct the path")
        value = value[key]
    return value


@dataclass(frozen=True, slots=True)
class Scope:
    """What references can see while a step is evaluated.

    `steps` are the properties of the steps that are done; `read_property_file(step, property file, path)` answers
    Std:JsonGet.
    """

    parameters: Mapping[str, Any]
    execution_id: str
    steps: Mapping[str, Mapping[str, Any]]
    read_property_file: ReadProperty

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
            body = expression["Std:JsonGet"]
            source = parse_get(body["PropertyFile"]["Get"])
            return self.read_property_file(source.name, source.path[-1], parse_path(body["Path"]))
        return {key: self.evaluate(value) for key, value in expression.items()}

    def _get(self, text: str) -> Any:
        reference = parse_get(text)
        if reference.kind == "Parameters":
            return self.parameters[reference.name]
        if reference.kind == "Execution":
            return self.execution_id
        if reference.name not in self.steps:
            raise DefinitionError(f"{text} has no value: the step {reference.name} did not run in this execution")
        return walk(self.steps[reference.name], reference.path, text)
