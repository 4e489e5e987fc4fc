"""The page a release manager reads: verdict first, then what it rests on. One self-contained HTML file."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from steps.core.dataset import SLICE_PREFIX
from steps.core.evaluation import Evaluation
from steps.core.files import write_text
from steps.core.gate import Rate
from steps.core.scores import roc
from steps.core.shards import Record, read_record
from steps.core.splits import Split

FILE_NAME = "report.html"
_GALLERY = 12
_SLICES_SHOWN = 12
_MIN_SLICE = 10


@dataclass(frozen=True, slots=True)
class Picture:
    """A tile in the gallery: its JPEG as a data URI, and the score of its screenshot."""

    image: str
    score: float
    caption: str
    flagged: bool


def write_report(folder: Path, evaluation: Evaluation, tiles: pd.DataFrame, shards: Path, title: str) -> None:
    """Write `report.html`; `tiles` are the test split's with a `tile_score` column, `shards` the folder they are in."""
    test = evaluation.scored[evaluation.scored["split"] == str(Split.TEST)]
    template = jinja2.Environment(
        loader=jinja2.PackageLoader("steps.core.report"), autoescape=True, undefined=jinja2.StrictUndefined
    ).get_template("report.html.j2")
    page = template.render(
        title=title,
        gate=evaluation.verdict.to_dict(),
        metrics=evaluation.metrics,
        subject=evaluation.subject,
        plots=_plots(evaluation, test),
        false_positives=_gallery(test[test["label"] == 0], tiles, shards, highest=True),
        false_negatives=_gallery(test[test["label"] == 1], tiles, shards, highest=False),
        slices=_slices(test, evaluation.verdict.limits.confidence),
    )
    write_text(folder / FILE_NAME, page)


def _gallery(rows: pd.DataFrame, tiles: pd.DataFrame, shards: Path, *, highest: bool) -> list[Picture]:
    worst = rows.sort_values("score", ascending=not highest, kind="stable").head(_GALLERY)
    pictures = []
    for row in worst.itertuples():
        shown = tiles[tiles["id"] == row.id].nlargest(1, "tile_score").iloc[0]
        data = read_record(shards, Record(str(shown["shard"]), int(shown["offset"]), int(shown["length"])))
        image = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
        pictures.append(Picture(image, float(row.score), str(row.group), bool(row.flagged)))  # type: ignore[arg-type]
    return pictures


def _slices(test: pd.DataFrame, confidence: float) -> list[dict[str, Any]]:
    """Return a row for every slice of every low-cardinality column that holds enough screenshots to say anything."""
    out: list[dict[str, Any]] = []
    columns = {"orientation": pd.Series(np.where(test["width"] > test["height"], "landscape", "portrait"), test.index)}
    columns |= {c.removeprefix(SLICE_PREFIX): test[c] for c in test.columns if c.startswith(SLICE_PREFIX)}
    for name, values in columns.items():
        if not 1 <= values.nunique() <= _SLICES_SHOWN:
            continue
        for value, part in test.groupby(values, sort=True):
            if len(part) >= _MIN_SLICE:
                flagged = {label: part.loc[part["label"] == label, "flagged"] for label in (0, 1)}
                rates = {key: _rate(flagged[label], confidence) for key, label in (("fpr", 0), ("tpr", 1))}
                out.append({"name": name, "value": str(value), **rates})
    return out


def _rate(flagged: "pd.Series[Any]", confidence: float) -> Rate | None:
    return Rate.of(int(flagged.sum()), len(flagged), confidence) if len(flagged) else None


def _plots(evaluation: Evaluation, test: pd.DataFrame) -> Mapping[str, str]:
    point, fpr, tpr = evaluation.verdict.point, evaluation.verdict.fpr, evaluation.verdict.tpr
    if point is None or fpr is None or tpr is None:
        return {}
    scores, labels = test["score"].to_numpy(np.float64), test["label"].to_numpy(np.int64)
    return {
        "Receiver operating characteristic, test split": _roc_plot(scores, labels, fpr, tpr, evaluation),
        "Scores of the test split": _histogram(scores, labels, point.threshold),
    }


def _roc_plot(scores: Any, labels: Any, fpr: Rate, tpr: Rate, evaluation: Evaluation) -> str:
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(5.2, 4), layout="constrained")
    axes = figure.subplots()
    false, true = roc(scores, labels)
    axes.step(false, true, where="post", color="#2a6fbb")
    axes.axvspan(fpr.lower, fpr.upper, color="#2a6fbb", alpha=0.12, label="FPR, one-sided bounds")
    limit = evaluation.verdict.limits.max_fpr
    axes.axvline(limit, color="#b3261e", linestyle="--", label=f"limit {limit:.2%}")
    axes.plot([fpr.value], [tpr.value], "o", color="#b3261e", label="operating point")
    # Everything that matters happens at small rates, where a linear axis from 0 to 1 shows nothing.
    axes.set_xscale("symlog", linthresh=max(1 / fpr.trials, 1e-4))
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="false-positive rate", ylabel="true-positive rate")
    axes.legend(loc="lower right", fontsize=8)
    return _svg(figure)


def _histogram(scores: Any, labels: Any, threshold: float) -> str:
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(5.2, 4), layout="constrained")
    axes = figure.subplots()
    bins = np.linspace(0, 1, 41).tolist()
    names = ((0, "negatives", "#5f6b7a"), (1, "positives", "#2a9d5c"))
    for label, name, colour in names:
        axes.hist(scores[labels == label], bins=bins, color=colour, alpha=0.7, label=name)
    axes.axvline(threshold, color="#b3261e", linestyle="--", label=f"threshold {threshold:.3f}")
    axes.set(xlabel="screenshot score", ylabel="screenshots")
    axes.legend(fontsize=8)
    return _svg(figure)


def _svg(figure: Any) -> str:
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "tilegate"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
