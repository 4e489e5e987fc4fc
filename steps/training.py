"""The two phases of training a tile classifier, judged after every epoch by whole screenshots."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
import tf_keras as keras

from steps.core.errors import UserError
from steps.core.hyperparameters import Hyperparameters
from steps.core.scores import roc, screenshot_scores, tpr_at_fpr
from steps.core.splits import Split
from steps.model import LOGIT, POOL, build_model
from steps.tiles import TileSource, decode, score_tiles

# JPEG bytes are shuffled, not pixels, so a whole epoch of many thousand tiles fits.
_SHUFFLE_TILES = 8192
_EPSILON = 1e-7


@dataclass(slots=True)
class Trained:
    """A model with the weights of its best epoch, and a row for each epoch."""

    model: Any
    history: list[dict[str, float | int | str]] = field(default_factory=list)
    best: dict[str, float | int | str] = field(default_factory=dict)


def train(source: TileSource, settings: Hyperparameters, pretrained: Path | None) -> Trained:
    """Train on the train split; the epoch with the best TPR at the objective FPR on validation is kept."""
    rows = source.rows(Split.TRAIN)
    if rows["label"].nunique() < len(("negative", "positive")):
        raise UserError("the train split holds one class only: add labelled data of the other")
    keras.utils.set_random_seed(settings.seed)
    model = build_model(settings.backbone, source.spec.tile_size, dropout=settings.dropout, pretrained=pretrained)
    judge = _Judge(model, source, settings, source.rows(Split.VALIDATION))
    if settings.head_epochs:
        _fit_head(model, source, rows, settings)
        judge.epoch("head", settings.head_epochs)
    if settings.fine_tune_epochs:
        _fine_tune(model, source, rows, settings, judge, train_statistics=pretrained is None)
    if not judge.history:
        judge.epoch("none", 0)
    judge.restore_best()
    return Trained(model, judge.history, judge.best)


def _weights(labels: Any, settings: Hyperparameters) -> Any:
    return np.where(labels == 1, settings.positive_weight, settings.negative_weight).astype(np.float32)


def _fit_head(model: Any, source: TileSource, rows: pd.DataFrame, settings: Hyperparameters) -> None:
    """Train the head on features computed once: a frozen backbone gives the same ones every epoch."""
    backbone = keras.Model(model.input, model.get_layer(POOL).output)
    features = np.empty((len(rows), backbone.output_shape[-1]), np.float32)
    for at, pixels in source.batches(rows, 64):
        features[at.numpy()] = backbone(tf.cast(pixels, tf.float32), training=False).numpy()
    logit = model.get_layer(LOGIT)
    inputs = keras.layers.Input(features.shape[1:])
    head = keras.Model(inputs, logit(keras.layers.Dropout(settings.dropout)(inputs)))
    head.compile(
        optimizer=keras.optimizers.Adam(settings.head_learning_rate),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
    )
    labels = rows["label"].to_numpy(np.float32)
    head.fit(
        features,
        labels,
        sample_weight=_weights(labels, settings),
        batch_size=settings.batch_size,
        epochs=settings.head_epochs,
        verbose=0,
    )


def _fine_tune(
    model: Any,
    source: TileSource,
    rows: pd.DataFrame,
    settings: Hyperparameters,
    judge: "_Judge",
    *,
    train_statistics: bool,
) -> None:
    """Train every layer from `fine_tune_layer` on.

    Pretrained batch normalisation keeps its statistics (a small data set would spoil them); random weights have none
    worth keeping.
    """
    for number, layer in enumerate(model.layers):
        normalises = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = number >= settings.fine_tune_layer and (train_statistics or not normalises)
    if not model.trainable_weights:
        raise UserError(
            f"fine-tune-layer {settings.fine_tune_layer}: {settings.backbone} has {len(model.layers)} layers, "
            "and none from there on has weights to train: give a lower number, or 0 fine-tune-epochs"
        )
    model.compile(
        optimizer=keras.optimizers.Adam(settings.fine_tune_learning_rate), loss=keras.losses.BinaryCrossentropy()
    )
    model.fit(
        training_batches(source, rows, settings),
        epochs=settings.fine_tune_epochs,
        callbacks=[_JudgeEachEpoch(judge)],
        verbose=0,
    )


def training_batches(source: TileSource, rows: pd.DataFrame, settings: Hyperparameters) -> Any:
    """Return shuffled batches of (tiles float32 [b, size, size, 3], labels [b, 1], weights [b]), one epoch long."""
    labels = rows["label"].to_numpy(np.float32)
    by_position = tf.constant(np.stack([labels, _weights(labels, settings)], axis=1))
    size = source.spec.tile_size

    def load(at: Any, data: Any) -> tuple[Any, Any, Any]:
        row = by_position[at]
        return tf.cast(decode(data, size), tf.float32), row[:1], row[1]

    records = source.read(rows).shuffle(min(len(rows), _SHUFFLE_TILES), seed=settings.seed)
    return records.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(settings.batch_size).prefetch(2)


class _Judge:
    """Scores the validation screenshots, keeps the best weights, and says when to stop."""

    def __init__(self, model: Any, source: TileSource, settings: Hyperparameters, rows: pd.DataFrame) -> None:
        self.model, self.source, self.settings, self.rows = model, source, settings, rows
        self.history: list[dict[str, float | int | str]] = []
        self.best: dict[str, float | int | str] = {}
        self._best_weights: list[Any] = []
        self._key = (-1.0, -np.inf)
        self._since_best = 0

    def epoch(self, phase: str, number: int, train_loss: float | None = None) -> bool:
        """Judge the present weights, print a line of metrics, and return whether patience has run out."""
        scored = screenshot_scores(self.rows, score_tiles(self.model, self.source, self.rows))
        scores, labels = scored["score"].to_numpy(np.float64), scored["label"].to_numpy(np.int64)
        if not np.isfinite(scores).all():
            raise UserError(f"training diverged in epoch {number} ({phase}): scores are NaN; lower the learning rate")
        clipped = np.clip(scores, _EPSILON, 1 - _EPSILON)
        false, true = roc(scores, labels)
        row: dict[str, float | int | str] = {
            "phase": phase,
            "epoch": number,
            "validation:tpr_at_fpr": tpr_at_fpr(scores, labels, self.settings.objective_fpr),
            "validation:auc": float(np.trapezoid(true, false)),
            "validation:loss": float(-np.mean(np.where(labels == 1, np.log(clipped), np.log1p(-clipped)))),
        }
        if train_loss is not None:
            row["train:loss"] = float(train_loss)
        self.history.append(row)
        print(metrics_line(row), flush=True)
        # Among epochs that find as many positives the one with the better ranking is taken: small splits tie often.
        key = (float(row["validation:tpr_at_fpr"]), float(row["validation:auc"]))
        self._since_best += 1
        if key > self._key:
            self._key, self._since_best, self.best = key, 0, row
            self._best_weights = self.model.get_weights()
        return self._since_best >= self.settings.patience

    def restore_best(self) -> None:
        self.model.set_weights(self._best_weights)


def metrics_line(row: dict[str, float | int | str]) -> str:
    """Return `name=value;` pairs on one line, the form that the definition's metric regexes read."""
    return " ".join(f"{k}={v:.6f};" if isinstance(v, float) else f"{k}={v};" for k, v in row.items())


class _JudgeEachEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self, judge: _Judge) -> None:
        super().__init__()
        self._judge = judge

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self._judge.epoch("fine-tune", epoch + 1, (logs or {}).get("loss")):
            self.model.stop_training = True
