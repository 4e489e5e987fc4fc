"""Conditions: comparisons that fail loudly instead of taking a branch that nobody decided."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.executor.errors import DefinitionError
from pipelines.executor.expressions import Scope, name_of, to_text

# What is compared, and its words when it is true and when it is not.
_COMPARISONS: Mapping[str, tuple[Callable[[Any, Any], bool], str, str]] = {
    "Equals": (operator.eq, "is", "is not"),
    "GreaterThan": (operator.gt, "is above", "is at most"),
    "GreaterThanOrEqualTo": (operator.ge, "is at least", "is below"),
    "LessThan": (operator.lt, "is below", "is at least"),
    "LessThanOrEqualTo": (operator.le, "is at most", "is above"),
}


def decide(conditions: Sequence[Mapping[str, Any]], scope: Scope) -> tuple[bool, str]:
    """Evaluate a list of conditions, ANDed; return the outcome and, in words, the facts that decided it.

    Raises DefinitionError for a comparison that has no answer: NaN, nothing, or values of different types.
    """
    decided = [_decide(condition, scope) for condition in conditions]
    outcome = all(came for came, _ in decided)
    return outcome, "; ".join(words for came, words in decided if came is outcome)


def check(condition: Any) -> None:
    """Raise DefinitionError if a condition, or one inside of it, is not of a known type."""
    kind = condition.get("Type") if isinstance(condition, Mapping) else None
    if kind not in {*_COMPARISONS, "Or"}:
        raise DefinitionError(
            f"the condition type {kind!r} does not run on one machine: use one of {', '.join(_COMPARISONS)}, Or"
        )
    fields = ("Conditions",) if kind == "Or" else ("LeftValue", "RightValue")
    for field in fields:
        if field not in condition:
            raise DefinitionError(f"a condition of type {kind} lacks {field}")
    if kind == "Or":
        for inner in condition["Conditions"]:
            check(inner)


def _decide(condition: Mapping[str, Any], scope: Scope) -> tuple[bool, str]:
    """Return the outcome of a condition, and the facts that decided it."""
    if condition["Type"] == "Or":
        # All of them are evaluated: one that has no answer must not hide behind one that is true.
        decided = [_decide(inner, scope) for inner in condition["Conditions"]]
        outcome = any(came for came, _ in decided)
        return outcome, " and ".join(words for came, words in decided if came is outcome)
    compare, holds, fails = _COMPARISONS[condition["Type"]]
    one, other = condition["LeftValue"], condition["RightValue"]
    left, right = scope.evaluate(one), scope.evaluate(other)
    question = f"nothing says whether {_named(one, left)} {holds} {_named(other, right)}"
    kinds = {_kind(left), _kind(right)}
    if any(isinstance(value, float) and math.isnan(value) for value in (left, right)):
        raise DefinitionError(f"{question}: a value is NaN, so the condition decides nothing")
    if len(kinds) > 1 or None in kinds:
        types = f"{type(left).__name__} and {type(right).__name__}"
        raise DefinitionError(f"{question}: it compares {types}; wanted two numbers, texts or booleans")
    outcome = compare(left, right)
    # The right side says the value already.
    name = name_of(one) if condition["Type"] == "Equals" and outcome and not name_of(other) else ""
    return outcome, f"{name or _named(one, left)} {holds if outcome else fails} {_named(other, right)}"


def _kind(value: Any) -> str | None:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else None


def _named(expression: Any, value: Any) -> str:
    name = name_of(expression)
    return f"{name} ({_shown(value)})" if name else _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return repr(value) if isinstance(value, str) else to_text(value)
