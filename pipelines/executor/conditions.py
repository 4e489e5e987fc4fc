"""Conditions: comparisons that fail loudly instead of taking a branch that nobody decided."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.executor.errors import DefinitionError
from pipelines.executor.expressions import Scope, to_text

_COMPARISONS: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "Equals": ("==", operator.eq),
    "GreaterThan": (">", operator.gt),
    "GreaterThanOrEqualTo": (">=", operator.ge),
    "LessThan": ("<", operator.lt),
    "LessThanOrEqualTo": ("<=", operator.le),
}
CONDITION_TYPES = (*_COMPARISONS, "In", "Not", "Or")


def decide(conditions: Sequence[Mapping[str, Any]], scope: Scope) -> tuple[bool, str]:
    """Evaluate a list of conditions, ANDed; return the outcome and each comparison in words.

    Raises DefinitionError for a comparison that has no answer: NaN, nothing, or values of different types.
    """
    decided = [_decide(condition, scope) for condition in conditions]
    text = "; ".join(f"{words} is {to_text(outcome)}" for outcome, words in decided)
    return all(outcome for outcome, _ in decided), text


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
    kind = condition["Type"]
    if kind == "Not":
        outcome, words = _decide(condition["Condition"], scope)
        return not outcome, f"not ({words})"
    if kind == "Or":
        # All of them are evaluated: one that has no answer must not hide behind one that is true.
        decided = [_decide(inner, scope) for inner in condition["Conditions"]]
        return any(outcome for outcome, _ in decided), "(" + " or ".join(words for _, words in decided) + ")"
    if kind == "In":
        value, choices = scope.evaluate(condition["QueryValue"]), scope.evaluate(condition["Values"])
        # Every choice is compared: one of another type is an error even behind one that is equal.
        equal = [_compare(value, operator.eq, "==", choice) for choice in choices]
        return any(equal), f"{_shown(value)} in [{', '.join(map(_shown, choices))}]"
    symbol, compare = _COMPARISONS[kind]
    left, right = scope.evaluate(condition["LeftValue"]), scope.evaluate(condition["RightValue"])
    return _compare(left, compare, symbol, right), f"{_shown(left)} {symbol} {_shown(right)}"


def _compare(left: Any, compare: Callable[[Any, Any], bool], symbol: str, right: Any) -> bool:
    question = f"{_shown(left)} {symbol} {_shown(right)}"
    kinds = {_kind(left), _kind(right)}
    if any(isinstance(value, float) and math.isnan(value) for value in (left, right)):
        raise DefinitionError(f"{question} has no answer: a value is NaN, so the condition decides nothing")
    if len(kinds) > 1 or None in kinds:
        types = f"{type(left).__name__} and {type(right).__name__}"
        raise DefinitionError(f"{question} has no answer: it compares {types}; wanted two numbers, texts or booleans")
    return compare(left, right)


def _kind(value: Any) -> str | None:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else None


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else to_text(value)
