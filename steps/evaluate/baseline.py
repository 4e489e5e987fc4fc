"""The baseline, what a good engineer would try first: a logistic regression on the features of whole screenshots.

The overview is the screenshot squashed to the model's input. It learns from the same development screenshots as the
candidate, and the gate asks that the candidate is not proven worse on the test screenshots.
"""

import argparse

import numpy as np

from steps.core.dataset.splits import DEVELOPMENT, Split
from steps.core.dataset.tables import join_tiles, read_dataset, read_tiles
from steps.core.tiles.features import read_features
from steps.core.tiles.tiling import OVERVIEW
from steps.train.phase1 import Examples, fit_phase1

_SEED = 17


def baseline_scores(args: argparse.Namespace) -> dict[str, float]:
    """Return the logit of each test screenshot, by id; `args` name tiles, dataset and features."""
    tiles, dataset = read_tiles(args.tiles), read_dataset(args.dataset)
    tiles = tiles[tiles["index"] == OVERVIEW]
    known, asked = (join_tiles(tiles, dataset, splits) for splits in (DEVELOPMENT, (Split.TEST,)))
    learned, features = (read_features(args.features, rows).astype(np.float32) for rows in (known, asked))
    examples = Examples(learned, known["label"].to_numpy(np.int64), known["group"].to_numpy(object))
    logits = fit_phase1(examples, _SEED).solution.logits(features)
    return dict(zip(asked["id"].astype(str), logits.tolist(), strict=True))
