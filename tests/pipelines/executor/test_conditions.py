"""Conditions decide, or fail: they never take a branch that nobody decided."""

import pytest

from pipelines.executor.conditions import decide
from pipelines.executor.expressions import Scope
from tests.pipelines.executor.conftest import properties

NAN = float("nan")


def outcome(kit, *conditions):
    result = kit.run(kit.condition("Gate", *conditions, then=[], otherwise=[]))
    return properties(result, "Gate", "Outcome") if result.status == "Succeeded" else result.reason


@pytest.mark.parametrize(
    ("kind", "left", "right", "expected"),
    [
        ("Equals", "a", "a", True),
        ("Equals", True, False, False),
        ("Equals", 1, 1.0, True),
        ("GreaterThan", 2, 1, True),
        ("GreaterThan", 1, 1, False),
        ("GreaterThanOrEqualTo", 1, 1, True),
        ("LessThan", 1, 2.5, True),
        ("LessThanOrEqualTo", 3, 2, False),
    ],
)
def test_comparisons(kit, kind, left, right, expected):
    assert outcome(kit, kit.compare(kind, left, right)) is expected


def test_or_and_the_list_is_anded(kit):
    yes, no = kit.compare("Equals", 1, 1), kit.compare("Equals", 1, 2)
    assert outcome(kit, {"Type": "Or", "Conditions": [no, yes]}) is True
    assert outcome(kit, yes, no) is False
    (decided,) = kit.told("ConditionDecided")
    assert decided.text == "1 is not 2"


@pytest.mark.parametrize(
    ("rate", "anyway", "outcome", "told"),
    [
        (0.1, "no", True, "ValidateData's gate.rate (0.1) is at most Limit (0.15)"),
        (0.2, "yes", True, "Anyway is 'yes'"),
        (0.1, "yes", True, "Anyway is 'yes' and ValidateData's gate.rate (0.1) is at most Limit (0.15)"),
        (0.2, "no", False, "Anyway ('no') is not 'yes' and ValidateData's gate.rate (0.2) is above Limit (0.15)"),
    ],
)
def test_a_decision_is_told_as_the_facts_that_decided_it_with_the_names_of_what_was_compared(
    kit, rate, anyway, outcome, told
):
    limit = kit.compare("LessThanOrEqualTo", kit.read("ValidateData", "gate.rate"), kit.get("Parameters.Limit"))
    either = [kit.compare("Equals", kit.get("Parameters.Anyway"), "yes"), limit]
    scope = Scope({"Limit": 0.15, "Anyway": anyway}, "", {}, lambda *_: rate)
    assert decide([{"Type": "Or", "Conditions": either}], scope) == (outcome, told)
    of_step = kit.compare("LessThanOrEqualTo", kit.get("Steps.A.Metrics['loss']"), 1)
    both = [kit.compare("Equals", kit.get("Parameters.Anyway"), anyway), of_step]
    assert decide(both, Scope(scope.parameters, "", {"A": {"Metrics": {"loss": 0}}}, None)) == (
        True,
        f"Anyway is '{anyway}'; A's Metrics.loss (0) is at most 1",
    )


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        (NAN, 0.01, "a value is NaN"),
        (0.01, NAN, "a value is NaN"),
        ("0.01", 0.02, "compares str and float"),
        (True, 1, "compares bool and int"),
        (None, 1, "compares NoneType and int"),
        (None, None, "compares NoneType and NoneType"),
    ],
)
def test_a_comparison_without_an_answer_fails_the_step(kit, left, right, said):
    for kind in ("Equals", "LessThan"):
        condition = kit.compare(kind, left, right)
        assert said in outcome(kit, condition)
        # An alternative that is true does not hide it.
        assert said in outcome(kit, {"Type": "Or", "Conditions": [kit.compare("Equals", 1, 1), condition]})
