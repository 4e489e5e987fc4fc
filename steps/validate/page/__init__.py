"""The page a person reads before trusting a data set: the verdict, what is odd, and pictures to see it for oneself.

One HTML file that needs no network and no JavaScript: its own policy forbids both, because the names in it come from
strangers' manifests.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steps.core.common.files import write_text
from steps.core.html import environment
from steps.core.html.album import Album
from steps.validate.page.model import (
    BatchCount,
    Changes,
    Comparison,
    Composition,
    Counts,
    Example,
    Feature,
    Finding,
    Gallery,
    LabelChange,
    Page,
    Pair,
    Probe,
    QuarantinedRow,
    Relation,
    SliceDrift,
    Tally,
    Verdict,
)
from steps.validate.page.plots import histogram
from steps.validate.rules import RULES, Severity

__all__ = [
    "FILE_NAME",
    "BatchCount",
    "Changes",
    "Comparison",
    "Composition",
    "Counts",
    "Example",
    "Feature",
    "Finding",
    "Gallery",
    "LabelChange",
    "Page",
    "Pair",
    "Probe",
    "QuarantinedRow",
    "Relation",
    "SliceDrift",
    "Tally",
    "Verdict",
    "write_page",
]

FILE_NAME = "report.html"
# Characters of pictures; the rest of a page, lists at their limits and plots included, stays far below a megabyte.
_PICTURES = 3_800_000
_SEVERITIES = (Severity.STOP, Severity.QUARANTINE, Severity.NOTE)
_RELATIONS = ("labels contradict", "across splits", "same label")
# How many of each kind a person may want to look at; lists beyond say what they leave out.
_LIMITS = {
    "examples": 8,
    "galleries": 16,
    "gallery": 12,
    "pairs": 12,
    "plots": 8,
    "bars": 6,
    "features": 40,
    "slices": 10,
    "batches": 30,
    "columns": 30,
    "tallies": 12,
    "quarantine": 40,
    "names": 12,
}


def write_page(folder: Path, page: Page, pictures: Mapping[str, bytes]) -> None:
    """Write `report.html`; `pictures` are small JPEGs by the keys that the page's examples name."""
    templates = environment(
        "steps.validate.page",
        picture=Album(pictures, _PICTURES),
        histogram=histogram,
        rule_title=lambda reason: RULES[reason].title if reason in RULES else reason,
        place=_place,
        plotted=_plotted,
        most=_LIMITS,
    )
    html = templates.get_template("page.html.j2").render(
        page=page,
        fired=sorted((f for f in page.findings if f.fired), key=lambda f: _SEVERITIES.index(f.severity)),
        fine=[f for f in page.findings if not f.fired],
        pairs=sorted(page.duplicates, key=lambda pair: _RELATIONS.index(pair.what)),
    )
    write_text(folder / FILE_NAME, html)


def _plotted(features: Sequence[Feature]) -> list[dict[str, Any]]:
    """Return the drifted features, or if none has drifted the three most distant, with what a plot of each needs."""
    ordered = sorted(features, key=lambda f: (not f.drifted, -f.lower))
    chosen = [f for f in ordered if f.drifted][: _LIMITS["plots"]] or ordered[:3]
    out: list[dict[str, Any]] = []
    for feature in sorted(chosen, key=lambda f: isinstance(f.base, Mapping)):  # of one kind side by side
        bars = _bars(feature)
        out.append({"feature": feature, "bars": bars, "longest": max((max(b[1:]) for b in bars or ()), default=1)})
    return out


def _place(auc: float) -> str:
    """Return where an AUC lies on an axis from 0.4 to 1, in percent of its length."""
    return f"{100 * min(max((auc - 0.4) / 0.6, 0), 1):.2f}"


def _bars(feature: Feature) -> list[tuple[str, float, float]] | None:
    """Return (value, share of the base, share of the new) of the values that differ most; None for numbers."""
    base, new = feature.base, feature.new
    if not isinstance(base, Mapping) or not isinstance(new, Mapping):
        return None
    totals = [max(sum(counts.values()), 1) for counts in (base, new)]
    bars = [(value, base.get(value, 0) / totals[0], new.get(value, 0) / totals[1]) for value in sorted({*base, *new})]
    bars = [bar for bar in bars if max(bar[1:])]
    return sorted(bars, key=lambda bar: -abs(bar[1] - bar[2]))[: _LIMITS["bars"]]
