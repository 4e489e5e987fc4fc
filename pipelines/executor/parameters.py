"""The values of a pipeline's parameters: given ones over defaults, cast by their declared type."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.executor.errors import DefinitionError

Value = str | int | float


def bind(declared: Sequence[Mapping[str, Any]], given: Mapping[str, Value]) -> dict[str, Value]:
    """Return each declared parameter's value; raises DefinitionError for unknown names and wrong values.

    A value may be a string, as StartPipelineExecution sends it, or of the parameter's own type.
    """
    names = [str(parameter.get("Name")) for parameter in declared]
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise DefinitionError(f"unknown parameter {', '.join(unknown)}: the pipeline has {', '.join(names) or 'none'}")
    return {name: _value(name, parameter, given) for name, parameter in zip(names, declared, strict=True)}


def _value(name: str, parameter: Mapping[str, Any], given: Mapping[str, Value]) -> Value:
    raw = given.get(name, parameter.get("DefaultValue"))
    kind = str(parameter.get("Type"))
    if kind not in _CASTS:
        raise DefinitionError(f"the parameter {name} has the type {kind!r}: wanted one of {', '.join(_CASTS)}")
    if raw == "" != parameter.get("DefaultValue"):
        # So does StartPipelineExecution: https://github.com/aws/sagemaker-python-sdk/issues/4016
        raise DefinitionError(f"the parameter {name} is an empty text, which SageMaker refuses: leave it out")
    if raw is None:
        raise DefinitionError(f"the parameter {name} ({kind}) has no default: give it a value")
    cast, wanted = _CASTS[kind]
    try:
        value = cast(raw)
    except (TypeError, ValueError):
        raise DefinitionError(f"the parameter {name} is {raw!r}: wanted {wanted}") from None
    choices = parameter.get("EnumValues") or [value]
    if value not in choices:
        raise DefinitionError(f"the parameter {name} is {value!r}: wanted one of {', '.join(map(str, choices))}")
    return value


def _integer(raw: Any) -> int:
    if isinstance(raw, bool) or (isinstance(raw, float) and not raw.is_integer()):
        raise ValueError
    return int(raw)


def _float(raw: Any) -> float:
    value = float(raw)
    if isinstance(raw, bool) or not math.isfinite(value):
        raise ValueError
    return value


_CASTS: Mapping[str, tuple[Callable[[Any], Value], str]] = {
    "String": (str, "text"),
    "Integer": (_integer, "a whole number"),
    "Float": (_float, "a finite number"),
}
