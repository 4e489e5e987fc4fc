"""The rules: what their declaration says to people."""

import pytest

from steps.core.dataset.label_resolution import WAIVABLE
from steps.validate.rules import RULES, Rule, Severity


def shown(limit, unit=""):
    return Rule("rule", Severity.NOTE, "A rule", limit=limit, unit=unit).shown_limit


@pytest.mark.parametrize(
    ("limit", "unit", "text"),
    [
        (0.02, "%", "2%"),
        (0.07, "%", "7%"),
        (0.125, "%", "12.5%"),
        (0.6, "AUC", "AUC 0.6"),
        (30, "", "30"),
        (0.2, "", "0.2"),
        (0, "", ""),
        (0, "%", ""),
        (None, "", ""),
    ],
)
def test_a_limit_is_shown_exactly_and_in_its_unit(limit, unit, text):
    assert shown(limit, unit) == text


def test_every_rule_stands_under_its_name_and_has_a_title_of_its_own():
    assert all(name == rule.name for name, rule in RULES.items())
    assert len({rule.title for rule in RULES.values()}) == len(RULES)


def test_only_rows_about_which_people_may_disagree_can_be_waived():
    assert WAIVABLE == ("near-conflict", "labeller")
    assert all(RULES[name].severity is Severity.QUARANTINE for name in WAIVABLE)
