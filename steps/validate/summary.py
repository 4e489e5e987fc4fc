"""The figures of `validation.json`."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from steps.core.dataset.labels import CLASS_NAME
from steps.core.dataset.splits import Split
from steps.core.dataset.tables import SLICE_PREFIX
from steps.validate.rules import Examination


def summary(examined: Examination, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `validation.json` holds: counts for the run's summary, and a figure for every rule."""
    subject = examined.subject
    accepted, quarantined, names = subject.accepted, subject.validation.quarantined, subject.names
    labels = accepted["label"]
    column = f"{SLICE_PREFIX}{CLASS_NAME}"
    called = accepted[column] if column in accepted else pd.Series(pd.NA, accepted.index)
    return {
        "version": 2,
        "verdict": examined.verdict,
        "rows": subject.validation.rows,
        "accepted": len(accepted),
        "quarantined": len(quarantined),
        "decisions": subject.validation.decisions,
        "quarantined_by_reason": dict(sorted(Counter(row.reason for row in quarantined).items())),
        "groups": int(accepted["group"].nunique()),
        "ungrouped": int((accepted["group"] == accepted["id"]).sum()),
        "names": {str(i): name for i, name in enumerate(names)},
        "class_names": {str(i): sorted(called[labels == i].dropna().unique()) for i in (0, 1)},
        "classes": {name: int((labels == i).sum()) for i, name in enumerate(names)},
        "splits": {
            str(split): {
                name: int(((labels == i) & (accepted["split"] == str(split))).sum()) for i, name in enumerate(names)
            }
            for split in Split
        },
        "provable": subject.provable.as_json(),
        "near_duplicate_pairs": len(subject.validation.pairs),
        "findings": [
            {
                "rule": finding.rule.name,
                "title": finding.rule.title,
                "severity": str(finding.rule.severity),
                "fired": finding.fired,
                "measured": finding.measured,
                "text": finding.text,
            }
            for finding in examined.findings
        ],
        "shortcuts": {
            rule: {"auc": probe.auc, "lower": probe.lower, "upper": probe.upper}
            for rule, probe in subject.probes.items()
        },
        "drift": {
            comparison.rule: {
                drift.feature: {"distance": drift.distance, "lower": drift.lower, "drifted": drift.drifted}
                for drift in comparison.drifts
            }
            for comparison in subject.given.comparisons
        },
        "subject": dict(about),
    }
