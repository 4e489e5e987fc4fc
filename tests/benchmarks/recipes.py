"""Four ways to learn from the same screenshots with the same backbone, side by side in grouped cross-validation.

`squashed`: the original recipe. The whole screenshot squashed to the input, flips and rotations, the head for three
epochs, then the layers from 100 on with RMSprop, class weights, the epoch with the best validation accuracy.
`copied`: the same on squares of the screenshot, each with its screenshot's label; the highest square decides.
`logistic`: scikit-learn on the frozen backbone's features, the overview's and the maximum of the squares'.
`ours`: what TrainModel does with its defaults.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
import tf_keras as keras
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from steps.core.common.worker_pool import map_in_processes
from steps.core.dataset.splits import Split
from steps.core.gate.roc import roc
from steps.core.tiles.cutting import cut
from steps.core.tiles.spec import PreprocessingSpec
from steps.core.tiles.store import write_index, write_part
from steps.network.backbone import POOL, build_model
from steps.network.head import pool
from steps.network.tile_input import TileSource, decode, describer, screenshot_codes
from steps.train.hyperparameters import Hyperparameters
from steps.train.step import examples_of, learn

RECIPES = ("squashed", "copied", "logistic", "ours")
FOLDS = 3
_VALIDATION_FOLDS = 8
_HEAD_EPOCHS, _FINE_EPOCHS, _PATIENCE, _LAYER, _BATCH = 3, 10, 2, 100, 32

Rates = npt.NDArray[np.float64]
Score = Callable[[pd.DataFrame], Rates]


def tile_source(labels: Path, folder: Path, size: int) -> TileSource:
    """Cut the screenshots of a table with path, label, group, sha256, width, height and capture; all are `train`."""
    table = pd.read_csv(labels).drop_duplicates("sha256").sort_values("sha256", ignore_index=True)
    files = [labels.parent / path for path in table["path"]]
    spec = PreprocessingSpec(tile_size=size)
    cuts = map_in_processes(partial(cut, spec=spec), files, 2)
    index = write_part(folder / "store", "part", zip(table["sha256"], cuts, strict=True))
    write_index(folder, index, spec, "s3://bench/tiles")
    named = {"sha256": "id", "path": "uri", "capture": "slice:capture"}
    table = table.rename(columns=named).assign(batch="b", row=range(len(table)), split="train", format="png")
    columns = [*("id", "uri", "batch", "row", "label", "group", "split", "cluster", "width", "height", "format")]
    table.assign(cluster=table["id"])[[*columns, "slice:capture"]].to_parquet(folder / "dataset.parquet")
    return TileSource(folder, folder / "store", folder, [Split.TRAIN])


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """A source whose rows are split into train, validation and test by group, and the number of the fold."""

    source: TileSource
    seed: int
    number: int


def folds(source: TileSource, seed: int) -> Iterator[Fold]:
    """Yield the folds of one seed: a third of the groups is tested, an eighth of the rest validates."""
    whole = source.frame
    shots = whole.drop_duplicates("id")
    labels, groups = shots["label"].to_numpy(), shots["group"].to_numpy()
    tested = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels, groups)
    for number, (rest, test) in enumerate(tested):
        inner = StratifiedGroupKFold(_VALIDATION_FOLDS, shuffle=True, random_state=seed)
        _, validation = next(iter(inner.split(rest, labels[rest], groups[rest])))
        splits = np.full(len(shots), "train", dtype=object)
        splits[rest[validation]], splits[test] = "validation", "test"
        source.frame = whole.assign(split=whole["id"].map(dict(zip(shots["id"], splits, strict=True))))
        yield Fold(source, seed, number)
    source.frame = whole


def scores_of(recipe: str, fold: Fold, weights: Path | None, epochs: int | None = None) -> pd.DataFrame:
    """Train by a recipe and score the fold's test screenshots: id, label, group, capture, score, seconds of CPU.

    `epochs` takes the place of those that the original recipe has for each of its phases.
    """
    began = time.process_time()
    keras.utils.set_random_seed(fold.seed)
    rows = fold.source.rows(Split.TEST)
    if recipe in ("ours", "logistic"):
        score = _on_features(recipe, fold, weights)
    else:
        score = _original(recipe, fold, weights, epochs)
    shots = rows.drop_duplicates("id")[["id", "label", "group", "slice:capture"]].reset_index(drop=True)
    return shots.assign(score=score(rows), fold=fold.number, seconds=time.process_time() - began)


def _on_features(recipe: str, fold: Fold, weights: Path | None) -> Score:
    source = fold.source
    model = build_model("small", source.spec.tile_size, pretrained=weights)
    # Both take what the others validate on to learn from as well.
    known = source.frame[source.frame["split"] != str(Split.TEST)].reset_index(drop=True)
    describe = describer(model)
    examples = examples_of(known, describe(source, known))
    if recipe == "ours":
        head = learn(examples, Hyperparameters(seed=fold.seed)).head
        return lambda rows: head.scores(describe(source, rows), rows["index"].to_numpy(), screenshot_codes(rows))
    width = model.output_shape[-1]
    # Of what is pooled - overview, mean, maximum - a plain recipe would hardly think of the mean.
    plain = np.delete(np.arange(examples.features.shape[1]), np.s_[width : 2 * width])
    search = LogisticRegressionCV(
        Cs=np.logspace(-4, 0, 5), scoring="neg_log_loss", l1_ratios=(0.0,), use_legacy_attributes=False, max_iter=300
    )
    regression = make_pipeline(StandardScaler(), search)
    regression.fit(examples.features[:, plain], examples.labels)

    def score(rows: pd.DataFrame) -> Rates:
        pooled = pool(describe(source, rows), rows["index"].to_numpy(), screenshot_codes(rows))
        return np.asarray(regression.predict_proba(pooled[:, plain])[:, 1])

    return score


def _original(recipe: str, fold: Fold, weights: Path | None, epochs: int | None) -> Score:
    def shown(split: Split) -> pd.DataFrame:
        rows = fold.source.rows(split)
        return rows[rows["index"] == 0 if recipe == "squashed" else rows["index"] > 0].reset_index(drop=True)

    rows, validation = shown(Split.TRAIN), shown(Split.VALIDATION)
    model, altered = _network(fold.source.spec.tile_size, weights)
    positives = rows["label"].mean()
    balance = {0: 0.5 / (1 - positives), 1: 0.5 / positives}
    train_set = _images(fold.source, rows, shuffled=True).map(lambda x, y: (altered(x, training=True), y))
    validation_set = _images(fold.source, validation, shuffled=False)
    for layer in model.layers[:-1]:
        layer.trainable = False
    loss = keras.losses.BinaryCrossentropy()
    model.compile(keras.optimizers.Adam(1e-4), loss, ["accuracy"])
    model.fit(train_set, epochs=epochs or _HEAD_EPOCHS, class_weight=balance, verbose=0)
    for number, layer in enumerate(model.layers):
        layer.trainable = number >= min(_LAYER, len(model.layers) // 2) and not isinstance(
            layer, keras.layers.BatchNormalization
        )
    model.compile(keras.optimizers.RMSprop(1e-4), loss, ["accuracy"])
    best = keras.callbacks.EarlyStopping("val_accuracy", patience=_PATIENCE, restore_best_weights=True)
    model.fit(
        train_set,
        validation_data=validation_set,
        epochs=epochs or _FINE_EPOCHS,
        class_weight=balance,
        callbacks=[best],
        verbose=0,
    )

    def score(rows: pd.DataFrame) -> Rates:
        found = describer(model)(fold.source, rows)[:, 0]
        squares = (rows["index"] == 0 if recipe == "squashed" else rows["index"] > 0).to_numpy()
        return np.asarray(pd.Series(found[squares]).groupby(screenshot_codes(rows)[squares]).max(), np.float64)

    return score


def _network(size: int, weights: Path | None) -> tuple[Any, Any]:
    whole = build_model("small", size, pretrained=weights)
    head = keras.layers.Dropout(0.1)(whole.get_layer(POOL).output)
    model = keras.Model(whole.input, keras.layers.Dense(1, activation="sigmoid")(head))
    return model, keras.Sequential([keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.2)])


def _images(source: TileSource, rows: pd.DataFrame, *, shuffled: bool) -> Any:
    labels = tf.constant(rows["label"].to_numpy(np.float32))
    size = source.spec.tile_size
    read = source.read(rows)
    if shuffled:
        read = read.shuffle(len(rows))
    images = read.map(lambda at, data: (tf.cast(decode(data, size), tf.float32), labels[at]), tf.data.AUTOTUNE)
    return images.batch(_BATCH).prefetch(2)


def figures(scores: pd.DataFrame, true_positive_rate: float) -> dict[str, float]:
    """Return what a table shows: FPR at a TPR, TPR at FPRs, and the areas under the ROC curve, whole and below 10 %."""
    return _figures(*roc(scores["score"].to_numpy(np.float64), scores["label"].to_numpy()), true_positive_rate)


def intervals(
    by_recipe: dict[str, list[pd.DataFrame]], *, draws: int, seed: int = 17
) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Return (mean over seeds, 2.5 %, 97.5 %) of every figure, by a bootstrap over groups; and of FPR's ratio.

    FPR is that at the TPR which `squashed` has at its threshold of 0.5. A draw without one of the classes counts for
    nothing.
    """
    first = by_recipe["squashed"][0]
    member, groups = pd.factorize(first["group"])
    curves = {name: [_Curve.of(s.set_index("id").loc[first["id"]]) for s in ss] for name, ss in by_recipe.items()}

    def measure(times: npt.NDArray[np.int64]) -> dict[tuple[str, str], float]:
        """Measure with every screenshot taken so many times."""
        found: dict[tuple[str, str], list[float]] = {}
        for number, base in enumerate(curves["squashed"]):
            wanted = base.found_at_half(times)
            for name in by_recipe:
                for key, value in _figures(*curves[name][number].roc(times), wanted).items():
                    found.setdefault((name, key), []).append(value)
        means = {key: float(np.mean(values)) for key, values in found.items()}
        beside = means["squashed", "FPR"]
        return means | {(name, "FPR ratio"): means[name, "FPR"] / beside if beside else math.nan for name in by_recipe}

    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(draws):
        times = np.bincount(random.choice(len(groups), len(groups)), minlength=len(groups))[member]
        if len(set(first["label"][times > 0])) > 1:
            drawn.append(measure(times))
    out: dict[str, dict[str, tuple[float, float, float]]] = {}
    for (name, key), value in measure(np.ones(len(first), np.int64)).items():
        low, high = np.nanpercentile([d[name, key] for d in drawn], [2.5, 97.5])
        out.setdefault(name, {})[key] = (value, float(low), float(high))
    return out


def _figures(false: Rates, true: Rates, true_positive_rate: float) -> dict[str, float]:
    at = {f"TPR at FPR {fpr:.0%}": float(true[false <= fpr + 1e-12].max()) for fpr in (0.01, 0.05, 0.1)}
    grid = np.linspace(0, 0.1, 201)
    below = float(np.trapezoid(np.interp(grid, false, true), grid) / 0.1)
    needed = float(false[true >= true_positive_rate - 1e-12].min())
    return {"FPR": needed, **at, "partial AUC": below, "AUC": float(np.trapezoid(true, false))}


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """Scores put in order once: a bootstrap's draw only changes how often each of them counts."""

    order: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]
    positive: npt.NDArray[np.bool_]
    decided: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, scores: pd.DataFrame) -> Self:
        values = scores["score"].to_numpy(np.float64)
        order = np.argsort(-values, kind="stable")
        last = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
        return cls(order, last, scores["label"].to_numpy() == 1, scores["score"].to_numpy() > 0.5)

    def found_at_half(self, times: npt.NDArray[np.int64]) -> float:
        """Return the TPR at a threshold of 0.5."""
        return float(times[self.positive & self.decided].sum() / times[self.positive].sum())

    def roc(self, times: npt.NDArray[np.int64]) -> tuple[Rates, Rates]:
        """Return what `steps.core.gate.roc.roc` does for as many copies of each screenshot as `times` says."""
        false, true = (
            np.concatenate([[0.0], np.cumsum((times * kept)[self.order])[self.last] / (times * kept).sum()])
            for kept in (~self.positive, self.positive)
        )
        return false, true
