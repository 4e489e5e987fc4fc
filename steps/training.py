"""The two phases of training a screenshot classifier: through tiles and reducer, judged by whole screenshots."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras as keras

from steps.core.calibration import fit_calibration
from steps.core.errors import UserError
from steps.core.hyperparameters import Hyperparameters
from steps.core.reducers import Reducer
from steps.core.splits import Split
from steps.fitting import Examples, Fitting, fit, train_head
from steps.judge import Judge
from steps.model import build_model
from steps.tiles import TileSource

_COMPRESSION_EPOCHS = 2
_RANGE_BATCH, _RANGE_BATCHES = 32, 8


@dataclass(slots=True)
class Trained:
    """A tile model with the weights of its best epoch, its calibrated reducer, and a row for each epoch."""

    model: Any
    reducer: Reducer
    history: list[dict[str, float | int | str]] = field(default_factory=list)
    best: dict[str, float | int | str] = field(default_factory=dict)


def train(source: TileSource, settings: Hyperparameters, pretrained: Path | None) -> Trained:
    """Train on the train split; the epoch with the best TPR at the objective FPR on validation is kept."""
    rows = source.rows(Split.TRAIN)
    if rows["label"].nunique() < len(("negative", "positive")):
        raise UserError("the train split holds one class only: add labelled data of the other")
    keras.utils.set_random_seed(settings.seed)
    reducer = Reducer(settings.reducer)
    model = build_model(
        settings.backbone,
        source.spec.tile_size,
        columns=reducer.columns,
        dropout=settings.dropout,
        pretrained=pretrained,
    )
    examples = Examples(source, rows, reducer, settings)
    judge = Judge(source, settings, source.rows(Split.VALIDATION), reducer)
    # A head on random features learns nothing that is of use.
    if settings.head_epochs and pretrained:
        train_head(model, examples)
        judge.epoch(model, "head", settings.head_epochs)
    if settings.fine_tune_epochs:
        _freeze(model, settings, pretrained=pretrained is not None)
        fitting = Fitting(settings.fine_tune_epochs, settings.fine_tune_learning_rate, ema=settings.ema)
        fit(model, examples, fitting, lambda number, loss: judge.epoch(model, "fine-tune", number, loss))
    if not judge.history:
        judge.epoch(model, "none", 0)
    judge.restore_best(model)
    scale, offset = fit_calibration(judge.best_logits, judge.labels)
    return Trained(model, Reducer(reducer.kind, scale, offset), judge.history, judge.best)


def compressed(trained: Trained, kind: str, source: TileSource, settings: Hyperparameters) -> Any:
    """Return a compressed copy of a trained tile model, trained on for some epochs at a tenth of the learning rate."""
    # Importing model optimisation takes as long as importing TensorFlow, and most trainings do without.
    from steps.compression.kinds import compress

    # Every layer loses precision, so every layer has to make up for it, also those that fine-tuning left alone.
    for layer in trained.model.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    examples = Examples(source, source.rows(Split.TRAIN), trained.reducer, settings)
    fitting = Fitting(_COMPRESSION_EPOCHS, settings.fine_tune_learning_rate / 10)

    def fit_wrapped(model: Any, callbacks: Sequence[Any]) -> None:
        fit(model, examples, replace(fitting, callbacks=callbacks))

    def tiles() -> Iterator[Any]:
        for _, pixels in source.batches(examples.rows, _RANGE_BATCH).take(_RANGE_BATCHES):
            yield tf.cast(pixels, tf.float32)

    steps = _COMPRESSION_EPOCHS * max(math.ceil(examples.rows["id"].nunique() / settings.batch_size), 1)
    return compress(trained.model, kind, fit_wrapped, steps=steps, tiles=tiles)


def _freeze(model: Any, settings: Hyperparameters, *, pretrained: bool) -> None:
    """Leave trainable every layer from `fine_tune_layer` on; of random weights every layer at all.

    Pretrained batch normalisation keeps its statistics: a small data set would spoil them.
    """
    for number, layer in enumerate(model.layers):
        normalises = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = not pretrained or (number >= settings.fine_tune_layer and not normalises)
    if not model.trainable_weights:
        raise UserError(
            f"fine-tune-layer {settings.fine_tune_layer}: {settings.backbone} has {len(model.layers)} layers, "
            "and none from there on has weights to train: give a lower number, or 0 fine-tune-epochs"
        )
