"""What each part of the recipe brings in its first phase: a head on the features of a frozen backbone.

Run with: pytest tests/benchmarks/test_ablation.py -m benchmark -s
See `tests/benchmarks/screenshots.py` for the data. Features are computed once; every row trains the real head on them
with one thing changed, in the folds of three seeds. Figures are means over the folds' own curves, differences are
paired by fold. Hard negatives and augmentation have no effect in this phase.

"Overview only" gives every square the features of its screenshot's overview, "squares only" gives the overview the mean
of its squares' features, so that the learner stays the same and only what it can know changes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from steps.network.reducer import Reducer

from steps.core.common.choices import REDUCERS
from steps.core.dataset.splits import Split
from steps.network.runtime import start_tensorflow
from steps.train.hyperparameters import LOSSES, Hyperparameters
from tests.benchmarks.screenshots import screenshots

start_tensorflow()

import tf_keras as keras  # noqa: E402
from steps.train.fit import Examples, train_head  # noqa: E402

from steps.network.backbone import EVIDENCE, FEATURES, POOL, build_model  # noqa: E402
from steps.network.tile_input import screenshot_codes  # noqa: E402
from steps.train import fit  # noqa: E402
from tests.benchmarks.recipes import FOLDS, figures, folds, tile_source  # noqa: E402

pytestmark = [pytest.mark.benchmark, pytest.mark.filterwarnings("ignore::UserWarning")]
SEEDS = (0, 1, 2)
SHOWN = ("AUC", "partial AUC", "TPR at FPR 1%", "TPR at FPR 5%", "TPR at FPR 10%")
OURS = Hyperparameters(fine_tune_epochs=0)

Features = npt.NDArray[np.float16]


def overview_only(features: Features, rows: pd.DataFrame, _deepest: int) -> Features:
    return features[np.flatnonzero(rows["index"] == 0)[screenshot_codes(rows)]]


def squares_only(features: Features, rows: pd.DataFrame, _deepest: int) -> Features:
    square, codes = (rows["index"] > 0).to_numpy(), screenshot_codes(rows)
    means = pd.DataFrame(features[square].astype(np.float32)).groupby(codes[square]).mean().to_numpy()
    return np.where(square[:, None], features, means[codes]).astype(np.float16)


def without_early_blocks(features: Features, _rows: pd.DataFrame, deepest: int) -> Features:
    return np.where(np.arange(features.shape[1]) < deepest, features, 0)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: what is changed, in the settings or in the features that the head sees."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    seen: Callable[[Features, pd.DataFrame, int], Features] = lambda features, _rows, _deepest: features


ROWS = (
    Row("ours"),
    Row("overview only", seen=overview_only),
    Row("squares only", seen=squares_only),
    Row("last layer's features only", seen=without_early_blocks),
    *(Row(f"reducer {kind}", {"reducer": kind}) for kind in REDUCERS if kind != OURS.reducer),
    *(Row(f"loss {name}", {"loss": name}) for name in LOSSES if name != OURS.loss),
)


def scores_of(row, fold, features, epochs):
    """Train a head on the fold's train split; return label and logit of its test screenshots as `figures` wants it."""
    settings = replace(OURS, seed=fold.seed, head_epochs=epochs, **row.settings)
    reducer = Reducer(settings.reducer)
    keras.utils.set_random_seed(settings.seed)
    tile = keras.Input((features.shape[1],))
    head = keras.Model(tile, keras.layers.Dense(reducer.columns, name=EVIDENCE)(tile))
    with pytest.MonkeyPatch.context() as patch:
        # The features of a frozen backbone are the same for every row and fold.
        patch.setattr(fit, "_features", lambda _model, _source, rows, _replicas: features[rows["at"]])
        train_head(head, Examples(fold.source, fold.source.rows(Split.TRAIN), reducer, settings))
    rows = fold.source.rows(Split.TEST)
    weights, bias = head.get_layer(EVIDENCE).get_weights()
    evidence = features[rows["at"]].astype(np.float64) @ weights + bias
    logits = reducer.logits(evidence, rows["index"].to_numpy(), screenshot_codes(rows))
    return pd.DataFrame({"label": rows.drop_duplicates("id")["label"].to_numpy(), "score": logits})


def test_what_each_part_brings(tmp_path, sizes, network):
    """Prints a table: means over the folds, then differences to ours, and folds in which partial AUC was higher."""
    sample, most, epochs, parts = sizes(full=(90, FOLDS, OURS.head_epochs, ROWS), smoke=(60, 1, 2, ROWS[:3]))
    data = screenshots(tmp_path, sample=sample)
    seeds = SEEDS if data.real else SEEDS[:1]
    size = 224 if data.real else 64
    source = tile_source(data.labels, tmp_path, size)
    keras.utils.set_random_seed(OURS.seed)
    model = build_model("small", size, pretrained=data.weights)
    deepest = model.get_layer(POOL).output_shape[-1]
    assert model.get_layer(FEATURES).output_shape[-1] > deepest
    features = fit._features(model, source, source.frame)
    source.frame = source.frame.assign(at=np.arange(len(source.frame)))
    seen = {row.name: row.seen(features, source.frame, deepest) for row in parts}
    found = {row.name: [] for row in parts}
    for seed in seeds:
        for fold in islice(folds(source, seed), most):
            for row in parts:
                found[row.name].append(figures(scores_of(row, fold, seen[row.name], epochs), 0.8))
    measured = {name: pd.DataFrame(values) for name, values in found.items()}
    print(f"\n{source.frame['id'].nunique()} screenshots, {len(measured['ours'])} folds, head only")
    print("| part | " + " | ".join(SHOWN) + " | folds better, worse |\n" + "|---" * (len(SHOWN) + 2) + "|")
    for name, values in measured.items():
        change = (values - measured["ours"])[list(SHOWN)]
        cells = [
            f"{values[shown].mean():.3f}" + ("" if name == "ours" else f" ({change[shown].mean():+.3f})")
            for shown in SHOWN
        ]
        better, worse = ((sign * change["partial AUC"] > 0).sum() for sign in (1, -1))
        print(f"| {name} | " + " | ".join(cells) + f" | {better}, {worse} |")
    assert {len(values) for values in measured.values()} == {most * len(seeds)}
