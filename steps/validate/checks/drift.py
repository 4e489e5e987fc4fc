"""The rules about new screenshots that are unlike others."""

from typing import TYPE_CHECKING

from steps.core.common.text import printable
from steps.core.dataset.tables import SLICE_PREFIX
from steps.validate.rule import Chapter, Finding, Rule, Severity, counted

if TYPE_CHECKING:
    from steps.validate.subject import Subject

NOTES = Chapter(Severity.NOTE)


@NOTES.rule("drift-champion", "New data are unlike the champion's", limit=0.2)
def champion(rule: Rule, subject: "Subject") -> Finding:
    return _drift(rule, subject, missing="no approved model yet")


@NOTES.rule("drift-reference", "Data are unlike what phones in production show", limit=0.2)
def reference(rule: Rule, subject: "Subject") -> Finding:
    return _drift(rule, subject, missing="no production reference sample")


def _drift(rule: Rule, subject: "Subject", *, missing: str) -> Finding:
    comparison = next((found for found in subject.given.comparisons if found.rule == rule.name), None)
    if comparison is None:
        return Finding(rule, False, "-", f"Not compared: {missing}, or nothing is new since.")
    drifted, slices, text = comparison.drifted, comparison.drifted_slices, comparison.text
    if drifted:
        worst = max(drifted, key=lambda drift: drift.lower)
        text += (
            f" {counted(len(drifted), 'feature')} differ beyond doubt, most {worst.feature}: distance "
            f"{worst.distance:.2f}, at least {worst.lower:.2f} at 95 %."
        )
    if slices:
        within = slices[0]
        name = f"{within.column.removeprefix(SLICE_PREFIX)} {printable(within.value, 60)}"
        text += (
            f" Within slices {counted(len(slices), 'feature')} differ, most {within.drift.feature} of "
            f"{name}: at least {within.drift.lower:.2f}."
        )
    measured = counted(len(drifted) + len(slices), "feature")
    return Finding(rule, bool(drifted or slices), measured, text)
