"""The page a person reads before trusting a data set: the verdict, what is odd, and pictures to see it for oneself.

One HTML file that needs no network and no JavaScript: its own policy forbids both, because the names in it come from
strangers' manifests.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from steps.core.common.files import write_text
from steps.core.html import environment
from steps.core.html.album import Album
from steps.validate.drift import CATEGORIES, Comparison, Drift, is_number
from steps.validate.page.content import LIMITS, Page
from steps.validate.page.plots import histogram
from steps.validate.rule import Finding, decision
from steps.validate.rules import RULES, Severity

FILE_NAME = "report.html"
# Characters of pictures; the rest of a page, lists at their limits and plots included, stays far below a megabyte.
_PICTURES = 3_800_000
_SEVERITIES = (Severity.STOP, Severity.QUARANTINE, Severity.NOTE)


def write_page(folder: Path, page: Page, pictures: Mapping[str, bytes]) -> None:
    """Write `report.html`; `pictures` are small JPEGs by id, as many of the page's screenshots as have one."""
    templates = environment(
        "steps.validate.page",
        picture=Album(pictures, _PICTURES),
        histogram=histogram,
        rule_title=lambda reason: RULES[reason].title if reason in RULES else reason,
        commands=_commands,
        plotted=_plotted,
        most=LIMITS,
    )
    html = templates.get_template("page.html.j2").render(
        page=page,
        fired=sorted((f for f in page.findings if f.fired), key=lambda f: _SEVERITIES.index(f.rule.severity)),
        fine=[f for f in page.findings if not f.fired],
        measured=[name for name in CATEGORIES if name in page.tables],
        slices=[name for name in page.tables if name not in CATEGORIES],
    )
    write_text(folder / FILE_NAME, html)


def _commands(finding: Finding, classes: tuple[str, str]) -> list[str]:
    """Return what a reviewer types to decide on the first screenshot of a contradiction, a command for each class."""
    remedy = finding.rule.remedy
    decides = remedy is not None and remedy.means == "decide" and finding.ids
    return [decision(finding.ids[0], name) for name in classes] if decides else []


def _plotted(comparison: Comparison) -> list[tuple[Drift, list[Any], list[Any]]]:
    """Return the drifted features, or if none has drifted the three most distant; those drawn as bars come last.

    With each come the samples of a histogram, or (value, share of the base, share of the new) of its bars; neither for
    an embedding.
    """
    ordered = sorted(comparison.drifts, key=lambda drift: (not drift.drifted, -drift.lower))
    chosen = [drift for drift in ordered if drift.drifted][: LIMITS["plots"]] or ordered[:3]
    plots: list[tuple[Drift, list[Any], list[Any]]] = []
    for drift in chosen:
        columns = [frame[drift.feature] for frame in (comparison.base, comparison.new) if drift.feature in frame]
        if columns and not is_number(columns[0]):
            plots.append((drift, [], _bars(*columns)))
        else:
            plots.append((drift, [column.to_numpy(float) for column in columns], []))
    return sorted(plots, key=lambda plot: bool(plot[2]))


def _bars(base: pd.Series, new: pd.Series) -> list[tuple[str, float, float]]:
    """Return the values whose shares differ most."""
    counts = [values.value_counts(normalize=True) for values in (base, new)]
    of_base, of_new = ({str(value): share for value, share in shares.items()} for shares in counts)
    bars = [(value, of_base.get(value, 0.0), of_new.get(value, 0.0)) for value in sorted({*of_base, *of_new})]
    return sorted(bars, key=lambda bar: -abs(bar[1] - bar[2]))[: LIMITS["bars"]]
