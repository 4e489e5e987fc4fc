"""Gradient descent over whole screenshots: the head on features computed once, and the network through its tiles."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
import tf_keras as keras

from steps.network.backbone import DROPOUT, EVIDENCE, FEATURES
from steps.network.distributed import ALONE, Replicas
from steps.network.reducer import Reducer
from steps.network.reducer_layers import reduce_bags
from steps.network.tile_input import TileSource, decode, screenshot_codes, tile_evidence
from steps.train.augmentation import Places, augment
from steps.train.checkpoints import State
from steps.train.hyperparameters import Hyperparameters
from steps.train.losses import screenshot_loss

# JPEG bytes are shuffled, not pixels: some hundred megabytes at most.
_SHUFFLE_SCREENSHOTS = 4096
# A page of text 20 times as long as wide has 21 tiles; training looks at that many of them at a time.
_MOST_TILES = 9
_WARM_UP = 0.1
_HEAD_BATCH = 256
_HEAD_PRIOR = 13.0
_LEAST_DEVIATION = 1e-3
# Epochs and uses of a seed are kept apart by numbers that no step and no epoch reaches.
_EPOCHS, _DROPOUT = 1_009, 1 << 40

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


@dataclass(frozen=True, slots=True, eq=False)
class Continuity:
    """How a descent outlives its process: the `state` that it begins with, and who keeps the later ones."""

    state: State | None = None
    keep: Callable[[State], None] = lambda _: None


def fit(
    model: Any,
    examples: Examples,
    fitting: Fitting,
    on_epoch: EpochEnd = lambda _number, _loss: False,
    *,
    replicas: Replicas = ALONE,
    continuity: Continuity = Continuity(),
) -> None:
    """Train the trainable weights of a tile model on whole screenshots, through the reducer.

    After each epoch the model holds the moving average of its weights while `on_epoch` is called with the epoch's
    number and mean loss; training stops early if that returns True. Keras callbacks see the tile model.

    Everything random depends on the seed, the epoch, and a screenshot's place in it, so neither an interruption nor the
    number of replicas changes what is learned, but for the order in which floats are added up.
    """
    labels, weights = _labels_and_weights(examples)
    steps = fitting.epochs * max(math.ceil(len(labels) / examples.settings.batch_size), 1)
    descent = _Descent(model, examples, fitting, steps, replicas)
    done = descent.restore(continuity.state)
    if done.over:
        return
    for callback in fitting.callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    for epoch in range(done.epoch + 1, fitting.epochs + 1):
        losses = []
        for codes, shares in training_batches(examples, epoch, replicas):
            for callback in fitting.callbacks:
                callback.on_train_batch_begin(descent.done)
            at = codes.numpy()
            loss = descent.step(shares, labels[at], weights[at])
            losses.append(float(loss))
        for callback in fitting.callbacks:
            callback.on_epoch_end(epoch - 1)
        latest = model.get_weights()
        descent.show_average()
        stop = on_epoch(epoch, float(np.mean(losses))) or epoch == fitting.epochs
        continuity.keep(descent.state(latest, _Done(epoch, over=stop)))
        if stop:
            break
        descent.show_latest()


def training_batches(examples: Examples, epoch: int = 1, replicas: Replicas = ALONE) -> Any:
    """Return the shuffled batches of whole screenshots of an epoch, the shares of this host's replicas of them.

    Each is (codes int64 [b] as of `screenshot_codes`, of the whole batch, and for each replica here numbers of tiles
    int32 [s] and tiles uint8 [s, m, size, size, 3], zeros where a screenshot has fewer than the batch's longest).
    Replica r of n takes the screenshots r, r + n, … of a batch; where there are not enough, a black one that counts
    nothing: no kernel may be given nothing.
    """
    size, settings = examples.source.spec.tile_size, examples.settings
    choice = settings.seed * _EPOCHS + epoch
    here = tf.constant(replicas.here, tf.int64)

    # Plain graph code, and rewriting it anew for each epoch would take longer than a small epoch.
    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def load(position: Any, item: Any) -> tuple[Any, Any, Any]:
        code, bag = item
        squares = tf.random.experimental.stateless_shuffle(tf.range(1, tf.shape(bag)[0]), tf.stack([choice, code]))
        chosen = tf.gather(bag, tf.concat([[0], tf.sort(squares[: _MOST_TILES - 1])], 0))
        # What another host looks at is read with the rest, and not decoded.
        owner = position % settings.batch_size % replicas.count
        mine = tf.boolean_mask(chosen, tf.fill(tf.shape(chosen), tf.reduce_any(owner == here)))
        tiles = tf.map_fn(lambda data: decode(data, size), mine, fn_output_signature=tf.uint8)
        return code, tf.shape(tiles)[0], tf.ensure_shape(tiles, (None, size, size, 3))

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def share(codes: Any, counts: Any, tiles: Any) -> Any:
        return codes, tuple(_filled(counts[r :: replicas.count], tiles[r :: replicas.count]) for r in replicas.here)

    # Tiles follow each other in the shards, so records are read ahead in large pieces before they are mixed.
    bags = examples.source.bags(examples.rows)
    mixed = bags.shuffle(_SHUFFLE_SCREENSHOTS, seed=choice % 2**31, reshuffle_each_iteration=False)
    loaded = mixed.enumerate().map(load, num_parallel_calls=tf.data.AUTOTUNE)
    return loaded.padded_batch(settings.batch_size).map(share).prefetch(2)


def _filled(counts: Any, tiles: Any) -> tuple[Any, Any]:
    side = tiles.shape[2]
    black = tf.constant([2], counts.dtype), tf.zeros((1, 2, side, side, 3), tiles.dtype)
    return cast("tuple[Any, Any]", tf.cond(tf.size(counts) > 0, lambda: (counts, tiles), lambda: black))


def train_head(model: Any, examples: Examples, replicas: Replicas = ALONE) -> None:
    """Train the last layer alone on features computed once: a frozen backbone gives the same ones every epoch.

    It is trained on standardised features under a Gaussian prior on its weights, whose pull falls with the number of
    screenshots; mean and deviation are folded into the layer in the end. Hosts share the features, and take over the
    chief's layer.
    """
    reducer, settings = examples.reducer, examples.settings
    features = _features(model, examples.source, examples.rows, replicas)
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
    bias = head.bias.numpy() - mean @ kernel
    model.get_layer(EVIDENCE).set_weights([replicas.as_chief(kernel), replicas.as_chief(bias)])


def _features(model: Any, source: TileSource, rows: pd.DataFrame, replicas: Replicas = ALONE) -> npt.NDArray[Any]:
    """Return what the head reads of each tile, float16 [tiles, features]."""
    shown = keras.Model(model.input, model.get_layer(FEATURES).output)
    return tile_evidence(shown, source, rows, kind=np.float16, replicas=replicas)


def _labels_and_weights(examples: Examples) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return each screenshot's label and the weight of its class in the loss, float32 [screenshots]."""
    settings = examples.settings
    labels = examples.rows.drop_duplicates("id")["label"].to_numpy(np.float32)
    return labels, np.where(labels == 1, settings.positive_weight, settings.negative_weight).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Done:
    """How far a descent has come: its last epoch, and whether it ended with it."""

    epoch: int = 0
    over: bool = False


class _Descent:
    """One step at a time: AdamW along half a cosine after a short warm-up, and the moving average of the weights."""

    def __init__(
        self, model: Any, examples: Examples, fitting: Fitting, steps: int, replicas: Replicas = ALONE
    ) -> None:
        self._model, self._fitting, self._replicas = model, fitting, replicas
        self._reducer, self._settings = examples.reducer, examples.settings
        self._show = _shower(model)
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
        self._graph = tf.function(self._step, reduce_retracing=True, autograph=False)

    def step(self, shares: Sequence[tuple[Any, Any]], labels: Any, weights: Any) -> Any:
        """Take a step on a batch, whose labels and weights are given whole, and return its loss before it."""
        seed = tf.constant([self._settings.seed, self.done], tf.int64)
        keep = min(self._fitting.ema, (1 + self.done) / (10 + self.done))
        self.done += 1
        targets = tf.stack([tf.constant(labels), tf.constant(weights, tf.float32)])
        replicas = self._replicas
        # The black screenshot of a replica that has no other stands behind the batch.
        rows = [
            tf.constant(range(r, len(labels), replicas.count) if r < len(labels) else [len(labels)], tf.int64)
            for r in replicas.here
        ]
        given = zip(*((*share, at) for share, at in zip(shares, rows, strict=True)), strict=True)
        share = tuple(replicas.on_each(values) for values in given)
        return self._graph(share, targets, (seed, tf.constant(keep, tf.float32)))

    def state(self, latest: Sequence[Any], done: _Done) -> State:
        """Return where the descent is; `latest` are the model's weights, whatever it shows at the moment."""
        arrays = {
            "model": latest,
            "optimizer": [variable.numpy() for variable in self._optimizer.variables],
            "average": [average.numpy() for _, average in self._average],
        }
        return State({"epoch": done.epoch, "over": done.over, "done": self.done}, arrays)

    def restore(self, state: State | None) -> _Done:
        """Go on from the chief's state, and return how far that is."""
        facts = state.facts if state else {}
        told = [bool(state and "optimizer" in state.arrays), *(int(facts.get(n, 0)) for n in ("epoch", "over", "done"))]
        begun, epoch, over, done = self._replicas.as_chief(np.array(told, np.int64)).tolist()
        if not begun:
            return _Done()
        now = self.state(self._model.get_weights(), _Done()).arrays
        found = state.arrays if state and self._replicas.is_chief else now
        arrays = {name: [self._replicas.as_chief(array) for array in found[name]] for name in now}
        self._model.set_weights(arrays["model"])
        for variable, value in zip(self._optimizer.variables, arrays["optimizer"], strict=True):
            variable.assign(value)
        for (_, average), value in zip(self._average, arrays["average"], strict=True):
            average.assign(value)
        self.done = done
        return _Done(epoch, over=bool(over))

    def show_average(self) -> None:
        self._latest = [weight.numpy() for weight, _ in self._average]
        for weight, average in self._average:
            weight.assign(average)

    def show_latest(self) -> None:
        for (weight, _), latest in zip(self._average, self._latest, strict=True):
            weight.assign(latest)

    def _step(self, share: Any, targets: Any, drawn: Any) -> Any:
        seed, keep = drawn
        loss, gradients = self._replicas.run(self._gradients, *share, targets, seed)
        # They are sums over all replicas already, and every replica takes the same step.
        trained = self._model.trainable_variables
        self._optimizer.apply_gradients(zip(gradients, trained, strict=True), skip_gradients_aggregation=True)
        for weight, average in self._average:
            mixed = tf.cast(average, tf.float32) * keep + (1.0 - keep) * tf.cast(weight, tf.float32)
            average.assign(tf.cast(mixed, average.dtype))
        return loss

    def _gradients(self, counts: Any, tiles: Any, rows: Any, targets: Any, seed: Any) -> tuple[Any, Any]:
        """Return the loss of the whole batch and its gradients; `rows` are this share's screenshots in the batch."""
        labels, weights = tf.unstack(targets)
        present = tf.sequence_mask(counts, tf.shape(tiles)[1])
        at = tf.where(present)
        flat = tf.cast(tf.boolean_mask(tiles, present), tf.float32)
        flat = tf.ensure_shape(flat, (None, *tiles.shape[2:]))
        owner = tf.gather(rows, at[:, 0])
        size = tf.shape(labels)[0]
        places = Places(owner * _MOST_TILES + at[:, 1], (size + 1) * _MOST_TILES, size + 1)
        flat = augment(flat, owner, self._settings.augment, seed, places)
        with tf.GradientTape() as tape:
            found = self._show(flat, places, seed)
            shape = tf.concat([tf.shape(present, tf.int64), [self._reducer.columns]], 0)
            logits = reduce_bags(self._reducer, tf.scatter_nd(at, found, shape), present)
            settings = self._settings
            whole = self._of_all(logits, rows, size)
            loss = screenshot_loss(settings.loss, labels, whole, weights, settings.label_smoothing)
            if self._model.losses:
                loss += tf.add_n(self._model.losses) / self._replicas.count
        return loss, self._replicas.summed(tape.gradient(loss, self._model.trainable_variables))

    def _of_all(self, logits: Any, rows: Any, size: Any) -> Any:
        """Put this share's logits among those of the others, which are numbers without a gradient."""
        if self._replicas.count == 1:
            return logits
        mine = tf.scatter_nd(rows[:, None], tf.stop_gradient(logits), tf.cast(size + 1, rows.dtype)[None])
        return tf.tensor_scatter_nd_update(self._replicas.summed(mine), rows[:, None], logits)[:size]


def _shower(model: Any) -> Callable[[Any, Places, Any], Any]:
    """Return what shows tiles to a model in training, with a dropout that is drawn for each place in the batch.

    A model that model optimisation has wrapped drops out as Keras does.
    """
    layers = {layer.name: layer for layer in model.layers}
    dropout, evidence = layers.get(DROPOUT), layers.get(EVIDENCE)
    # A wrapped model shares layers with the one that it was made of, and their output is that one's.
    shared = FEATURES not in layers or len(layers[FEATURES].inbound_nodes) != 1
    if shared or dropout is None or evidence is None or type(evidence) is not keras.layers.Dense:
        return lambda tiles, _places, _seed: model(tiles, training=True)
    trunk, rate = keras.Model(model.input, layers[FEATURES].output), dropout.rate

    def show(tiles: Any, places: Places, seed: Any) -> Any:
        features = trunk(tiles, training=True)
        drawn = tf.random.stateless_uniform(
            [places.tiles, features.shape[-1]], seed + tf.constant([0, _DROPOUT], seed.dtype)
        )
        kept = tf.cast(tf.gather(drawn, places.number) >= rate, tf.float32)
        return evidence(features * kept / (1.0 - rate))

    return show
