"""The page a release manager reads: the verdict first, then what it rests on and what it means for people.

One HTML file that asks for nothing from outside: its own policy forbids that, and lets only the page's one script run,
which moves a slider and multiplies. Without it the page lacks nothing but that. The same plots and tables are written
beside it as files, for whoever tracks runs.
"""

import base64
import csv
import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from steps.core.common.files import replacing, write_text
from steps.core.dataset.splits import Split
from steps.core.gate.slices import Slice
from steps.core.gate.verdict import Verdict, interval
from steps.core.html import environment, text
from steps.core.html.album import Album
from steps.evaluate.evaluation import Evaluation
from steps.evaluate.report import plots, views
from steps.evaluate.report.model import Page
from steps.evaluate.report.pictures import Cams, bands, farthest, gallery

FILE_NAME = "report.html"
_TEMPLATES = Path(__file__).parent / "templates"
# Characters of pictures; plots and tables stay far below a megabyte.
_PICTURES = 3_200_000
# Lists beyond say what they leave out.
_LIMITS = {"reasons": 30, "slices": 60, "variants": 30, "findings": 20}
_LONGEST = 600
_RATE = ("count", "trials", "value", "lower", "upper")
_BADGES = {"failed": "fails", "proven": "proven good", "open": "undecided", "not judged": "too small"}


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
    found = plots.curve(page.scores, page.labels, threshold)
    slices, variants = views.slices(verdict), views.variants(page.variants)
    if slices:
        _write_slices(folder / "slices.csv", slices)
    pictures, numbers = _plots(folder, page, threshold, found) if found else ({}, {})
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
    script = Markup((_TEMPLATES / "report.js").read_text(encoding="utf-8"))  # noqa: S704 - our own file
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


def _plots(
    folder: Path, page: Page, threshold: float | None, found: plots.Curve
) -> tuple[dict[str, Markup], dict[str, Any]]:
    """Save the plots; return them as SVG, and for the script what each stop of the slider does and where it lies."""
    pictures, places = {}, {}
    for plot in (
        plots.det(found, page.verdict),
        plots.roc(found, page.verdict),
        plots.scores(found, page.scores, page.labels, threshold),
    ):
        plot.save(folder)
        pictures[plot.name], places[plot.name] = plot.inline()
    numbers = {
        "thresholds": found.thresholds.tolist(),
        "false": found.false_positives.tolist(),
        "true": found.true_positives.tolist(),
        "negatives": found.negatives,
        "positives": found.positives,
        "frozen": found.frozen,
        "places": places,
    }
    return pictures, numbers


def _write_slices(path: Path, slices: Sequence[Slice]) -> None:
    """Write a row for each slice: its rates with their counts and bounds, and its status."""
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        rates = [f"{rate}_{name}" for rate in ("fpr", "tpr") for name in _RATE]
        writer.writerow(["column", "value", "status", "note", *rates])
        for part in slices:
            texts = map(_cell, (part.column, part.value, str(part.status), part.note))
            writer.writerow([*texts, *(getattr(rate, name, None) for rate in (part.fpr, part.tpr) for name in _RATE)])


def _cell(value: str) -> str:
    """Return a text as it is written; a stranger's that a spreadsheet would run as a formula is quoted."""
    cell = text.short(value, _LONGEST)
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell


def _amount(value: float) -> str:
    """Return a number of things or hours: one decimal where it says something."""
    return f"{value:,.1f}" if 0 < abs(value) < 10 else f"{value:,.0f}"  # noqa: PLR2004
