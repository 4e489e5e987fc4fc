"""Conditions: comparisons that fail loudly instead of taking a branch that nobody decided."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.executor.errors import DefinitionError
from pipelines.executor.expressions import Scope, name_of, to_text

# What is compared, and what is told of it when it holds and when it does not.
_COMPARISONS: Mapping[str, tuple[Callable[[Any, Any], bool], str, str]] = {
    "Equals": (operator.eq, "is", "is not"),
    "GreaterThan": (operator.gt, "is above", "is at most"),
    "GreaterThanOrEqualTo": (operator.ge, "is at least", "is below"),
    "LessThan": (operator.lt, "is below", "is at least"),
    "LessThanOrEqualTo": (operator.le, "is at most", "is above"),
}
CONDITION_TYPES = (*_COMPARISONS, "In", "Not", "Or")


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
    fields = {"In": ("QueryValue", "Values"), "Not": ("Condition",), "Or": ("Conditions",)}
    if kind not in CONDITION_TYPES:
        raise DefinitionError(f"the condition type {kind!r} is not known: wanted one of {', '.join(CONDITION_TYPES)}")
    for field in fields.get(kind, ("LeftValue", "RightValue")):
        if field not in condition:
            raise DefinitionError(f"a condition of type {kind} lacks {field}")
    for inner in [condition["Condition"]] if kind == "Not" else condition.get("Conditions", ()):
        check(inner)


def _decide(condition: Mapping[str, Any], scope: Scope) -> tuple[bool, str]:
    """Return the outcome of a condition, and the facts that decided it."""
    kind = condition["Type"]
    if kind == "Not":
        outcome, words = _decide(condition["Condition"], scope)
        return not outcome, words
    if kind == "Or":
        # All of them are evaluated: one that has no answer must not hide behind one that is true.
        decided = [_decide(inner, scope) for inner in condition["Conditions"]]
        outcome = any(came for came, _ in decided)
        return outcome, " and ".join(words for came, words in decided if came is outcome)
    if kind == "In":
        value, choices = condition["QueryValue"], scope.evaluate(condition["Values"])
        # Every choice is compared: one of another type is an error even behind one that is equal.
        equal = [_compare("Equals", value, choice, scope)[0] for choice in choices]
        outcome = any(equal)
        told = f"is {'one' if outcome else 'none'} of [{', '.join(map(_shown, choices))}]"
        return outcome, f"{_named(value, scope.evaluate(value))} {told}"
    return _compare(kind, condition["LeftValue"], condition["RightValue"], scope)


def _compare(kind: str, one: Any, other: Any, scope: Scope) -> tuple[bool, str]:
    compare, holds, fails = _COMPARISONS[kind]
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
    told = name_of(one) if kind == "Equals" and outcome and not name_of(other) else ""
    return outcome, f"{told or _named(one, left)} {holds if outcome else fails} {_named(other, right)}"


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
