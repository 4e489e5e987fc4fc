"""Every rule that labelled data have to pass, and a snapshot held against all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from steps.core.dataset.classes import Classes
from steps.validate.admission import Validation
from steps.validate.checks import notes, rows, stops
from steps.validate.rule import Finding, Rule, Severity
from steps.validate.subject import Circumstances, Subject

__all__ = ["RULES", "Examination", "Severity", "Verdict", "examine"]

Verdict: TypeAlias = Literal["good", "good, with notes", "stopped"]
# In the order in which people see them: what they should know first comes first.
RULES: Mapping[str, Rule] = {rule.name: rule for rule in (*rows.RULES, *stops.STOPS.rules, *notes.NOTES.rules)}


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that is known of a snapshot, as the page and `validation.json` show it: a finding for each rule."""

    subject: Subject
    findings: Sequence[Finding]

    @property
    def fired(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.fired]

    @property
    def stops(self) -> list[Finding]:
        return [finding for finding in self.fired if finding.rule.severity is Severity.STOP]

    @property
    def verdict(self) -> Verdict:
        if self.stops:
            return "stopped"
        return "good, with notes" if self.fired else "good"


def examine(validation: Validation, classes: Classes, given: Circumstances) -> Examination:
    """Hold a snapshot against every rule, each with its own limit or the one that is given for it.

    Raises ValueError if a row was refused for what is no rule: it would be kept out, and no finding would say so.
    """
    for reason in {row.reason for row in validation.quarantined}:
        if reason not in RULES or RULES[reason].severity is not Severity.QUARANTINE:
            raise ValueError(f"a row was refused for {reason!r}: declare the rule in steps.validate.checks.rows")
    subject = Subject(validation, classes, given)
    rules = (replace(rule, limit=given.limits.get(name, rule.limit)) for name, rule in RULES.items())
    return Examination(subject, [rule.check(rule, subject) for rule in rules])
