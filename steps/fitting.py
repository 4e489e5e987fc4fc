"""Gradient descent over whole screenshots: the head on features computed once, and the network through its tiles."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
import tf_keras as keras

from steps.augmentation import augment
from steps.core.hyperparameters import Hyperparameters
from steps.core.reducers import Reducer
from steps.losses import screenshot_loss
from steps.model import EVIDENCE, FEATURES
from steps.reducing import reduce_bags
from steps.tiles import TileSource, decode, screenshot_codes, tile_evidence

# JPEG bytes are shuffled, not pixels: some hundred megabytes at most.
_SHUFFLE_SCREENSHOTS = 4096
# A page of text 20 times as long as wide has 21 tiles; training looks at that many of them at a time.
_MOST_TILES = 9
_WARM_UP = 0.1
_HEAD_BATCH = 256
_HEAD_PRIOR = 13.0
_LEAST_DEVIATION = 1e-3

EpochEnd = Callable[[int, float], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """What is learned from: the tiles of some screenshots, how they are reduced, and every hyperparameter."""

    source: TileSource
    rows: pd.DataFrame
    reducer: Reducer
    settings: Hyperparameters


@dataclass(frozen=True, slots=True)
class Fitting:
    """How to descend: epochs, the highest learning rate, and the decay of the weights' moving average (0: none)."""

    epochs: int
    learning_rate: float
    ema: float = 0.0
    callbacks: Sequence[Any] = ()


def fit(model: Any, examples: Examples, fitting: Fitting, on_epoch: EpochEnd = lambda _number, _loss: False) -> None:
    """Train the trainable weights of a tile model on whole screenshots, through the reducer.

    After each epoch the model holds the moving average of its weights while `on_epoch` is called with the epoch's
    number and mean loss; training stops early if that returns True. Keras callbacks see the tile model.
    """
    settings = examples.settings
    labels, weights = _labels_and_weights(examples)
    batches = training_batches(examples)
    steps = fitting.epochs * max(math.ceil(len(labels) / settings.batch_size), 1)
    descent = _Descent(model, examples, fitting, steps)
    for callback in fitting.callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    for epoch in range(1, fitting.epochs + 1):
        losses = []
        for codes, counts, tiles in batches:
            for callback in fitting.callbacks:
                callback.on_train_batch_begin(descent.done)
            at = codes.numpy()
            loss = descent.step(tiles, counts, labels[at], weights[at])
            losses.append(float(loss))
        for callback in fitting.callbacks:
            callback.on_epoch_end(epoch - 1)
        descent.show_average()
        stop = on_epoch(epoch, float(np.mean(losses)))
        if stop or epoch == fitting.epochs:
            break
        descent.show_latest()


def training_batches(examples: Examples) -> Any:
    """Return shuffled batches of whole screenshots, one epoch long.

    Each is (codes int64 [b] as of `screenshot_codes`, numbers of tiles int32 [b], tiles uint8 [b, m, size, size,
    3], zeros where a screenshot has fewer than the batch's longest).
    """
    size = examples.source.spec.tile_size

    def load(code: Any, bag: Any) -> tuple[Any, Any, Any]:
        squares = tf.random.shuffle(tf.range(1, tf.shape(bag)[0]))[: _MOST_TILES - 1]
        chosen = tf.gather(bag, tf.concat([[0], tf.sort(squares)], 0))
        tiles = tf.map_fn(lambda data: decode(data, size), chosen, fn_output_signature=tf.uint8)
        return code, tf.shape(tiles)[0], tf.ensure_shape(tiles, (None, size, size, 3))

    # Tiles follow each other in the shards, so records are read ahead in large pieces before they are mixed.
    settings = examples.settings
    bags = examples.source.bags(examples.rows).shuffle(_SHUFFLE_SCREENSHOTS, seed=settings.seed)
    return bags.map(load, num_parallel_calls=tf.data.AUTOTUNE).padded_batch(settings.batch_size).prefetch(2)


def train_head(model: Any, examples: Examples) -> None:
    """Train the last layer alone on features computed once: a frozen backbone gives the same ones every epoch.

    It is trained on standardised features under a Gaussian prior on its weights, whose pull falls with the number of
    screenshots; mean and deviation are folded into the layer in the end.
    """
    reducer, settings = examples.reducer, examples.settings
    features = _features(model, examples.source, examples.rows)
    mean, deviation = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64) + _LEAST_DEVIATION
    labels, weights = _labels_and_weights(examples)
    first = np.flatnonzero(np.diff(screenshot_codes(examples.rows), prepend=-1))
    counts = np.diff(first, append=len(features))
    head = keras.layers.Dense(reducer.columns, kernel_initializer="zeros")
    head.build((None, features.shape[1]))
    optimizer = keras.optimizers.Adam(settings.head_learning_rate)
    pull = _HEAD_PRIOR / len(labels)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(bags: Any, present: Any, targets: Any, shares: Any) -> None:
        with tf.GradientTape() as tape:
            logits = reduce_bags(reducer, head(bags), present)
            loss = screenshot_loss(settings.loss, targets, logits, shares, settings.label_smoothing)
            loss += pull * tf.reduce_sum(head.kernel**2)
        optimizer.apply_gradients(zip(tape.gradient(loss, head.trainable_weights), head.trainable_weights, strict=True))

    random = np.random.default_rng(settings.seed)
    for _ in range(settings.head_epochs):
        order = random.permutation(len(labels))
        for at in (order[start : start + _HEAD_BATCH] for start in range(0, len(order), _HEAD_BATCH)):
            present = np.arange(counts[at].max()) < counts[at][:, None]
            bags = np.zeros((*present.shape, features.shape[1]), np.float32)
            tiles = np.concatenate([np.arange(first[i], first[i] + counts[i]) for i in at])
            bags[present] = (features[tiles] - mean) / deviation
            step(tf.constant(bags), tf.constant(present), tf.constant(labels[at]), tf.constant(weights[at]))
    kernel = head.kernel.numpy() / deviation[:, None]
    model.get_layer(EVIDENCE).set_weights([kernel, head.bias.numpy() - mean @ kernel])


def _features(model: Any, source: TileSource, rows: pd.DataFrame) -> npt.NDArray[Any]:
    """Return what the head reads of each tile, float16 [tiles, features]."""
    return tile_evidence(keras.Model(model.input, model.get_layer(FEATURES).output), source, rows, kind=np.float16)


def _labels_and_weights(examples: Examples) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return each screenshot's label and the weight of its class in the loss, float32 [screenshots]."""
    settings = examples.settings
    labels = examples.rows.drop_duplicates("id")["label"].to_numpy(np.float32)
    return labels, np.where(labels == 1, settings.positive_weight, settings.negative_weight).astype(np.float32)


class _Descent:
    """One step at a time: AdamW along half a cosine after a short warm-up, and the moving average of the weights."""

    def __init__(self, model: Any, examples: Examples, fitting: Fitting, steps: int) -> None:
        self._model, self._fitting = model, fitting
        self._reducer, self._settings = examples.reducer, examples.settings
        warm = max(int(_WARM_UP * steps), 1)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, steps - warm, warmup_target=fitting.learning_rate, warmup_steps=warm
        )
        self._optimizer = keras.optimizers.AdamW(schedule, weight_decay=examples.settings.weight_decay, clipnorm=1.0)
        self._optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self._optimizer.build(model.trainable_variables)
        # Averaged on the side, so that what is optimised and what is judged are never mixed up.
        changing = [weight for layer in model.layers if layer.trainable for weight in layer.weights]
        self._average = [(weight, tf.Variable(weight, trainable=False)) for weight in changing if fitting.ema]
        self._latest: list[Any] = []
        self.done = 0
        self._graph = tf.function(self._step, reduce_retracing=True)

    def step(self, tiles: Any, counts: Any, labels: Any, weights: Any) -> Any:
        """Take a step on a batch, and return its loss before it."""
        seed = tf.constant([self._settings.seed, self.done], tf.int64)
        keep = min(self._fitting.ema, (1 + self.done) / (10 + self.done))
        self.done += 1
        targets = tf.stack([tf.constant(labels), tf.constant(weights, tf.float32)])
        return self._graph(tiles, counts, targets, (seed, tf.constant(keep, tf.float32)))

    def show_average(self) -> None:
        self._latest = [weight.numpy() for weight, _ in self._average]
        for weight, average in self._average:
            weight.assign(average)

    def show_latest(self) -> None:
        for (weight, _), latest in zip(self._average, self._latest, strict=True):
            weight.assign(latest)

    def _step(self, tiles: Any, counts: Any, targets: Any, drawn: Any) -> Any:
        (labels, weights), (seed, keep) = tf.unstack(targets), drawn
        present = tf.sequence_mask(counts, tf.shape(tiles)[1])
        places = tf.where(present)
        flat = tf.cast(tf.boolean_mask(tiles, present), tf.float32)
        flat = tf.ensure_shape(flat, (None, *tiles.shape[2:]))
        flat = augment(flat, places[:, 0], self._settings.augment, seed)
        with tf.GradientTape() as tape:
            found = self._model(flat, training=True)
            shape = tf.concat([tf.shape(present, tf.int64), [self._reducer.columns]], 0)
            logits = reduce_bags(self._reducer, tf.scatter_nd(places, found, shape), present)
            settings = self._settings
            loss = screenshot_loss(settings.loss, labels, logits, weights, settings.label_smoothing)
            if self._model.losses:
                loss += tf.add_n(self._model.losses)
        trained = self._model.trainable_variables
        self._optimizer.apply_gradients(zip(tape.gradient(loss, trained), trained, strict=True))
        for weight, average in self._average:
            mixed = tf.cast(average, tf.float32) * keep + (1.0 - keep) * tf.cast(weight, tf.float32)
            average.assign(tf.cast(mixed, average.dtype))
        return loss
