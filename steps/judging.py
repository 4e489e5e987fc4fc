"""What evaluation and conversion share: score the held-out tiles, judge, and write verdict and page."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from steps.core.evaluation import HELD_OUT, Evaluation, evaluate
from steps.core.gate import Limits
from steps.core.report import write_report
from steps.core.scores import screenshot_scores
from steps.core.splits import Split
from steps.tiles import TileSource

Scorer = Callable[[TileSource, pd.DataFrame], npt.NDArray[np.float64]]


def judge_and_write(
    scorer: Scorer, source: TileSource, limits: Limits, subject: Mapping[str, Any], *, folder: Path, title: str
) -> Evaluation:
    """Score every held-out tile, judge the screenshots, and write evaluation.json, scores.parquet and report.html."""
    scored = []
    tiles = source.rows(Split.TEST)
    for split in HELD_OUT:
        rows = source.rows(split)
        scores = scorer(source, rows)
        if split is Split.TEST:
            tiles = rows.assign(tile_score=scores)
        scored.append(screenshot_scores(rows, scores))
    evaluation = evaluate(pd.concat(scored, ignore_index=True), limits, subject)
    evaluation.write(folder)
    write_report(folder, evaluation, tiles, source.folder, title)
    print(evaluation.verdict.message)
    return evaluation
