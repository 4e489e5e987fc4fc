"""What evaluation and conversion share: score the held-out tiles, judge, and write verdict and page."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from steps.core.archive import FILE_NAME as MODEL_ARCHIVE
from steps.core.archive import unpacked
from steps.core.evaluation import HELD_OUT, Evaluation, evaluate
from steps.core.files import read_json, sha256_file
from steps.core.gate import Limits
from steps.core.report import write_report
from steps.core.scores import screenshot_scores
from steps.core.spec import PreprocessingSpec, check_spec
from steps.core.splits import Split
from steps.model import load_model
from steps.tiles import TileSource
from steps.train import MODEL_FILE, TRAINING_FILE

Scorer = Callable[[TileSource, pd.DataFrame], npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained model, the held-out tiles to judge it on, and what identifies both."""

    model: Any
    source: TileSource
    subject: Mapping[str, Any]


def load_candidate(args: argparse.Namespace) -> Candidate:
    """Load what the shared arguments name; raises UserError if the model and the tiles do not fit each other."""
    source = TileSource(args.tiles, args.shards, args.dataset, HELD_OUT)
    with unpacked(args.model) as folder:
        check_spec(PreprocessingSpec.read(folder), source.spec)
        training = read_json(folder / TRAINING_FILE)
        model = load_model(folder / MODEL_FILE)
    subject = {
        "trained_model": sha256_file(args.model / MODEL_ARCHIVE),
        "preprocessing": source.spec.digest,
        "hyperparameters": training["hyperparameters"],
    }
    return Candidate(model, source, subject)


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
