"""Every rule that labelled data have to pass, in the order in which people see them: refused rows, stops, notes."""

from collections.abc import Iterable, Mapping

from steps.validate.checks import drift, notes, rows, shortcuts, stops
from steps.validate.rule import Rule, Severity

__all__ = ["RULES", "Rule", "Severity", "by_name"]


def by_name(rules: Iterable[Rule]) -> dict[str, Rule]:
    """Return the rules by name; raises ValueError if two have one name."""
    found: dict[str, Rule] = {}
    for rule in rules:
        if rule.name in found:
            raise ValueError(f"two rules are called {rule.name!r}")
        found[rule.name] = rule
    return found


# What a person should know first comes first.
RULES: Mapping[str, Rule] = by_name(
    [*rows.RULES, *stops.STOPS.rules, *drift.NOTES.rules, *shortcuts.NOTES.rules, *notes.NOTES.rules]
)
