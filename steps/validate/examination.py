"""An admitted snapshot held against every rule."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from steps.core.dataset.classes import Classes
from steps.validate.admission import Validation
from steps.validate.rule import Finding, Severity
from steps.validate.rules import RULES
from steps.validate.subject import Circumstances, Subject

__all__ = ["Circumstances", "Examination", "examine"]


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that is known of a snapshot, as the page and `validation.json` tell it: a finding for each rule."""

    subject: Subject
    findings: Sequence[Finding]

    @property
    def stops(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.fired and finding.rule.severity is Severity.STOP]


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
