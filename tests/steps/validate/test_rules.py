"""The rules as they are declared: complete, each once, and what they say to people."""

import subprocess
import sys

import pytest

from steps.core.dataset.label_resolution import WAIVABLE
from steps.validate.checks import notes, rows, stops
from steps.validate.rule import Chapter, Finding, Remedy, Rule, Severity
from steps.validate.rules import RULES


def never(rule, subject):
    return Finding(rule, False, "-", "Nothing.")


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
    ],
)
def test_a_limit_is_shown_exactly_and_in_its_unit(limit, unit, text):
    assert Rule("rule", Severity.NOTE, "A rule", never, limit, unit).shown_limit == text


def test_a_rule_that_keeps_rows_out_cannot_be_declared_without_what_mends_them():
    with pytest.raises(ValueError, match="'odd': a remedy is wanted"):
        Rule("odd", Severity.QUARANTINE, "Odd rows", never)


def test_a_rule_that_keeps_no_row_out_has_no_remedy():
    with pytest.raises(ValueError, match="'odd': a remedy is wanted where rows are quarantined, and only there"):
        Rule("odd", Severity.NOTE, "Odd pictures", never, remedy=Remedy("Leave it."))


def test_no_two_rules_have_one_name():
    declared = [*rows.RULES, *stops.STOPS.rules, *notes.NOTES.rules]
    assert list(RULES.values()) == declared


def test_a_chapter_keeps_its_rules_in_the_order_of_declaration():
    chapter = Chapter(Severity.NOTE)
    rules = [chapter.rule(name, f"The {name} rule")(never) for name in ("second", "first")]
    assert chapter.rules == rules
    assert [(rule.name, rule.severity, rule.check) for rule in rules] == [
        ("second", Severity.NOTE, never),
        ("first", Severity.NOTE, never),
    ]


def test_rules_come_by_severity_and_each_has_a_title_of_its_own():
    severities = [rule.severity for rule in RULES.values()]
    order = [Severity.QUARANTINE, Severity.STOP, Severity.NOTE]
    assert severities == sorted(severities, key=order.index)
    assert all(name == rule.name for name, rule in RULES.items())
    assert len({rule.title for rule in RULES.values()}) == len(RULES)


def test_only_rows_about_which_people_may_disagree_can_be_waived():
    assert WAIVABLE == ("near-conflict", "labeller")
    assert all(RULES[name].severity is Severity.QUARANTINE for name in WAIVABLE)


def test_the_default_of_a_parameter_costs_neither_pandas_nor_the_other_rules():
    program = "import sys, steps.validate.checks.stops; print({'pandas', 'steps.validate.rules'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
