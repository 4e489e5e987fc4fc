"""The two phases of training a screenshot classifier: through tiles and reducer, judged by whole screenshots."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from steps.core.common.errors import UserError
from steps.core.dataset.splits import Split
from steps.network.backbone import build_model
from steps.network.distributed import ALONE, Replicas
from steps.network.reducer import Reducer
from steps.network.tile_input import TileSource
from steps.train.calibration import fit_calibration
from steps.train.checkpoints import Checkpoints, State
from steps.train.early_stopping import Judge
from steps.train.fit import Continuity, Examples, Fitting, fit, train_head
from steps.train.hyperparameters import Hyperparameters

_COMPRESSION_EPOCHS = 2
_RANGE_BATCH, _RANGE_BATCHES = 32, 8


@dataclass(slots=True)
class Trained:
    """A tile model with the weights of its best epoch, its calibrated reducer, and a row for each epoch."""

    model: Any
    reducer: Reducer
    history: list[dict[str, float | int | str]] = field(default_factory=list)
    best: dict[str, float | int | str] = field(default_factory=dict)


def train(
    source: TileSource,
    settings: Hyperparameters,
    pretrained: Path | None,
    *,
    replicas: Replicas = ALONE,
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Train on the train split; the epoch with the best TPR at the objective FPR on validation is kept.

    With `checkpoints` it goes on where it was interrupted. Only the chief of several hosts reads and writes them.
    """
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
    judge = Judge(source, settings, source.rows(Split.VALIDATION), reducer, replicas)
    memory = _Memory(checkpoints if replicas.is_chief else None, judge)
    state = memory.recall(model)
    begun = bool(replicas.as_chief(np.array([state is not None], np.int64))[0])
    # A head on random features learns nothing that is of use.
    if settings.head_epochs and pretrained and not begun:
        train_head(model, examples, replicas)
        judge.epoch(model, "head", settings.head_epochs)
        memory.keep(State(arrays={"model": model.get_weights()}))
    elif begun:
        found = state.arrays["model"] if state else model.get_weights()
        model.set_weights([replicas.as_chief(weight) for weight in found])
    if settings.fine_tune_epochs:
        _freeze(model, settings, pretrained=pretrained is not None)
        fitting = Fitting(settings.fine_tune_epochs, settings.fine_tune_learning_rate, ema=settings.ema)
        with _synchronized(model, replicas):
            fit(
                model,
                examples,
                fitting,
                lambda number, loss: judge.epoch(model, "fine-tune", number, loss),
                replicas=replicas,
                continuity=Continuity(state, memory.keep),
            )
    if not judge.history:
        judge.epoch(model, "none", 0)
    judge.restore_best(model)
    scale, offset = fit_calibration(judge.best_logits, judge.labels)
    return Trained(model, Reducer(reducer.kind, scale, offset), judge.history, judge.best)


class _Memory:
    """What a training keeps for itself to go on from: its own state and the judge's, in one checkpoint."""

    def __init__(self, checkpoints: Checkpoints | None, judge: Judge) -> None:
        self._checkpoints, self._judge = checkpoints, judge

    def keep(self, state: State) -> None:
        if self._checkpoints is not None:
            judged = self._judge.state()
            facts = {**state.facts, "judge": judged.facts}
            arrays = {**state.arrays, **{f"judge-{name}": arrays for name, arrays in judged.arrays.items()}}
            self._checkpoints.save(State(facts, arrays))

    def recall(self, model: Any) -> State | None:
        """Return the state to go on from, if there is one, and tell the judge what it knew."""
        state = self._checkpoints.load() if self._checkpoints is not None else None
        if state is None:
            return None
        if not state.fits("model", model.get_weights()):
            print("The checkpoint is of another model: starting from the beginning", flush=True)
            return None
        print(f"Going on after epoch {state.facts.get('epoch', 0)}, from a checkpoint", flush=True)
        judged = {name.removeprefix("judge-"): arrays for name, arrays in state.arrays.items() if "judge-" in name}
        self._judge.restore(State(state.facts["judge"], judged))
        return state


@contextmanager
def _synchronized(model: Any, replicas: Replicas) -> Iterator[None]:
    """Let batch normalisation that is trained see the whole batch, not a replica's share of it.

    Where an epoch's last batch has fewer screenshots than there are replicas, it sees black ones beside them.
    """
    layers = [la for la in model.layers if isinstance(la, keras.layers.BatchNormalization) and la.trainable]
    before = [(layer, layer.synchronized, layer.fused) for layer in layers if replicas.count > 1]
    if before and replicas.devices > 1:
        raise UserError("training from random weights on hosts with several GPUs: use hosts with one GPU each")
    for layer, _, _ in before:
        layer.synchronized, layer.fused = True, False
    yield
    for layer, synchronized, fused in before:
        layer.synchronized, layer.fused = synchronized, fused


def compressed(trained: Trained, kind: str, source: TileSource, settings: Hyperparameters) -> Any:
    """Return a compressed copy of a trained tile model, trained on for some epochs at a tenth of the learning rate."""
    # Importing model optimisation takes as long as importing TensorFlow, and most trainings do without.
    from steps.network.compression.kinds import compress

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
