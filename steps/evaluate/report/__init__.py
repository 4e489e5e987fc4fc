"""The page a release manager reads: the verdict first, then what it rests on and what it means for people.

One HTML file that asks for nothing from outside: its own policy forbids that, and lets only the page's one script run,
which moves a slider and multiplies. Without it the page lacks nothing but that. The same plots and tables are written
beside it as files, for whoever tracks runs.
"""

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from steps.core.common.files import write_text
from steps.core.dataset.splits import Split
from steps.core.gate.verdict import Verdict, interval
from steps.core.html import environment, text
from steps.core.html.album import Album
from steps.evaluate.evaluation import Evaluation
from steps.evaluate.report import plots, views
from steps.evaluate.report.curves import Curve, curve
from steps.evaluate.report.model import Box, Gallery, Origin, Page, Shot
from steps.evaluate.report.pictures import Cams, bands, farthest, gallery
from steps.evaluate.report.tables import write_slices

__all__ = [
    "FILE_NAME",
    "Box",
    "Cams",
    "Gallery",
    "Origin",
    "Page",
    "Shot",
    "gallery",
    "page_of",
    "shown_on_page",
    "write_report",
]

FILE_NAME = "report.html"
# Characters of pictures; plots and tables stay far below a megabyte.
_PICTURES = 3_200_000
# Lists beyond say what they leave out.
_LIMITS = {"reasons": 30, "slices": 60, "variants": 30, "findings": 20, "drifted": 20}
_BADGES = {"failed": "fails", "proven": "proven good", "open": "undecided", "not judged": "too small"}
_MARKER = Markup('<circle class="marker" r="5.5" cx="0" cy="0" hidden/>')
_LINE = Markup('<line class="marker" x1="0" x2="0" y1="0" y2="100%" hidden/>')


def page_of(
    title: str, evaluation: Evaluation, tiles: pd.DataFrame, shards: Path, *, cams: Cams | None = None, **parts: Any
) -> Page:
    """Put a page together from what an evaluation has.

    tiles: as `gallery` wants them, of the screenshots that `shown_on_page` names; parts: further fields of `Page`. The
    galleries against the champion are of the ids that its comparison lists as newly broken and newly fixed.
    """
    scored, verdict = evaluation.scored, evaluation.verdict
    test = scored[scored["split"] == str(Split.TEST)]
    galleries = {name: gallery(rows, tiles, shards, cams) for name, rows in _sides(verdict, scored).items()}
    known = {"subject": evaluation.subject, "baseline": evaluation.baseline, **galleries}
    scores, labels = test["score"].to_numpy(np.float64), test["label"].to_numpy(np.int64)
    return Page(title, verdict, scores, labels, **known | parts)


def shown_on_page(evaluation: Evaluation) -> list[str]:
    """Return the ids of the screenshots whose pictures the page shows: of no other it needs tiles."""
    sides = _sides(evaluation.verdict, evaluation.scored)
    return list(dict.fromkeys(str(key) for rows in sides.values() for key in farthest(rows)["id"]))


def _sides(verdict: Verdict, scored: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return what the page has galleries of, by name, none of them empty."""
    test = scored[scored["split"] == str(Split.TEST)]
    sides = {"false_alarms": test[test["label"] == 0], "misses": test[test["label"] == 1]}
    if champion := verdict.champion:
        sides["broken"] = test[test["id"].isin(champion.newly_broken)]
        sides["fixed"] = test[test["id"].isin(champion.newly_fixed)]
    return {name: rows for name, rows in sides.items() if len(rows)}


def write_report(folder: Path, page: Page) -> None:
    """Write `report.html`, and beside it the plots as PNG and the slices as CSV."""
    verdict = page.verdict
    point, fpr, tpr = verdict.point, verdict.fpr, verdict.tpr
    threshold = point.threshold if point else None
    found = curve(page.scores, page.labels, threshold)
    slices, variants = views.slices(verdict), views.variants(page.variants)
    drawn = _plots(page, threshold, found)
    for plot in drawn.values():
        plot.save(folder)
    if slices:
        write_slices(folder / "slices.csv", slices)
    pictures, numbers = _inline(drawn, found)
    people, found_a_day = verdict.people(), {}
    if people and fpr and tpr:
        found_a_day = interval(tpr, people["screenshots_per_day"] * verdict.fleet.positive_share)
        numbers["rates"] = list(zip(interval(fpr, 1).values(), interval(tpr, 1).values(), strict=True))
    album = Album({}, _PICTURES)
    templates = environment(
        "steps.evaluate.report",
        most=_LIMITS,
        show=album.show,
        embed=album.embed,
        bands=bands,
        views=views,
    )
    templates.filters |= {
        "amount": _amount,
        "plain": lambda value: f"{value:.12g}",
        "place": lambda value: f"{value:.3f}%",
        "mega": lambda value: text.number(math.nan if value is None else value / 1e6),
        "number3": lambda value: f"{value:.3f}",
    }
    script = _source(templates, "report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    galleries = (page.false_alarms, page.misses, page.broken, page.fixed)
    html = templates.get_template("report.html.j2").render(
        page=page,
        verdict=verdict,
        limits=verdict.limits,
        fpr=fpr,
        tpr=tpr,
        champion=verdict.champion,
        fleet=verdict.fleet,
        reasons=[*([page.refused] if page.refused else []), *verdict.reasons],
        threshold=threshold,
        people=people,
        found_a_day=found_a_day,
        rivals=views.rivals(page),
        curve=found,
        plots=pictures,
        slices=slices,
        badges=_BADGES,
        variants=variants,
        cams=any(shot.cams for one in galleries if one for shot in one.shots),
        script=script,
        policy=Markup(f"'sha256-{digest}'"),  # noqa: S704 - base64
        numbers=Markup(json.dumps(numbers, allow_nan=False).replace("<", "\\u003c")),  # noqa: S704 - numbers alone
    )
    write_text(folder / FILE_NAME, html)


def _plots(page: Page, threshold: float | None, found: Curve | None) -> dict[str, plots.Plot]:
    if not found:
        return {}
    drawn = plots.det(found, page.verdict), plots.roc(found, page.verdict)
    return {plot.name: plot for plot in (*drawn, plots.scores(page.scores, page.labels, threshold))}


def _inline(drawn: Mapping[str, plots.Plot], found: Curve | None) -> tuple[dict[str, Markup], dict[str, Any]]:
    """Return the plots as SVG, and for the script what each stop of the slider has done and where it lies on them."""
    pictures: dict[str, Markup] = {}
    numbers: dict[str, Any] = {}
    if found:
        level = np.zeros(len(found.thresholds))
        places = {
            "det": (plots.det_points(found), _MARKER),
            "roc": ((found.fpr, found.tpr), _MARKER),
            "scores": ((found.thresholds, level), _LINE),
        }
        numbers = {
            "thresholds": found.thresholds.tolist(),
            "false": found.false_positives.tolist(),
            "true": found.true_positives.tolist(),
            "negatives": found.negatives,
            "positives": found.positives,
            "frozen": found.frozen,
            "places": {},
        }
        for name, (points, marker) in places.items():
            pictures[name], numbers["places"][name] = drawn[name].inline(points, marker)
    return {**{name: plot.inline()[0] for name, plot in drawn.items() if name not in pictures}, **pictures}, numbers


def _source(templates: jinja2.Environment, name: str) -> Markup:
    if templates.loader is None:
        raise ValueError("an environment without templates")
    return Markup(templates.loader.get_source(templates, name)[0])  # noqa: S704 - our own file


def _amount(value: float) -> str:
    """Return a number of things or hours: one decimal where it says something."""
    return f"{value:,.1f}" if 0 < abs(value) < 10 else f"{value:,.0f}"  # noqa: PLR2004
