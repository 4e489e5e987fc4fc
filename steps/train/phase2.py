"""Phase 2: the last blocks of the backbone learn together with phase 1's head, by Keras on whole screenshots."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
import tf_keras as keras

from steps.core.common.errors import UserError
from steps.core.common.program import left
from steps.network.backbone import block_names, build_model, unfreeze
from steps.network.head import Head
from steps.network.tile_input import TileSource, decode, describer, logits_of, screenshot_codes
from steps.train.augmentation import augment
from steps.train.checkpoints import Checkpoints
from steps.train.hyperparameters import Hyperparameters

# JPEG bytes are shuffled, not pixels: some hundred megabytes at most.
_SHUFFLE_SCREENSHOTS = 4096
# A page of text 20 times as long as wide has 21 tiles; training takes that many of them at a time.
_MOST_TILES = 9
_WARM_UP = 0.1
_AVERAGED = 0.98

Floats = npt.NDArray[np.float64]
# Called with the number of an epoch and the logits of the held-out rows; returns whether to go on.
EpochEnd = Callable[[int, Floats, float], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Phase2:
    """What is fine-tuned: the source of the tiles, hyperparameters, weights, hosts, and the place of checkpoints."""

    source: TileSource
    settings: Hyperparameters
    pretrained: Path
    strategy: Any
    checkpoints: Checkpoints


def pool_bags(features: Any, present: Any) -> Any:
    """Pool features float32 [bags, tiles, D] to [bags, 3 D], as `steps.network.head.pool` does.

    Tile 0 of a bag is the overview; `present`, bool [bags, tiles], is False where a bag has no such tile.
    """
    there = tf.cast(present[:, 1:, None], features.dtype)
    squares = features[:, 1:] * there
    mean = tf.reduce_sum(squares, 1) / tf.reduce_sum(there, 1)
    maximum = tf.reduce_max(squares + (1.0 - there) * features.dtype.min, 1)
    return tf.concat([features[:, 0], mean, maximum], 1)


class BagModel(keras.Model):  # type: ignore[misc]
    """Tiles uint8 [b, m, size, size, 3] and how many of each screenshot there are, int32 [b], to logits [b, 1]."""

    def __init__(self, backbone: Any, head: Head, strength: float) -> None:
        super().__init__()
        self.backbone, self._strength = backbone, strength
        self.head = keras.layers.Dense(1, dtype="float32")
        self.head.build((None, len(head.weights)))
        self.head.set_weights([head.weights[:, None], np.array([head.bias])])

    def call(self, inputs: Any, training: Any = None) -> Any:
        tiles, counts = inputs
        present = tf.sequence_mask(counts, tf.shape(tiles)[1])
        flat = tf.ensure_shape(tf.cast(tf.boolean_mask(tiles, present), tf.float32), (None, *tiles.shape[2:]))
        if training:
            seed = tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32)
            flat = augment(flat, tf.where(present)[:, 0], self._strength, seed)
        features = self.backbone(flat, training=training)
        shape = tf.concat([tf.shape(present, tf.int64), [features.shape[-1]]], 0)
        return self.head(pool_bags(tf.scatter_nd(tf.where(present), features, shape), present))

    def read_head(self) -> Head:
        kernel, bias = self.head.get_weights()
        return Head.of(kernel[:, 0], bias[0])


def fine_tune(
    phase: Phase2,
    rows: pd.DataFrame,
    weights: Floats,
    head: Head,
    *,
    name: str,
    epochs: int,
    on_epoch: EpochEnd,
    held_out: pd.DataFrame | None = None,
) -> tuple[Any, Head]:
    """Fine-tune on the tiles `rows`, whose screenshots count `weights`, and return the tile model and its head.

    After each epoch `on_epoch` gets the logits of the screenshots of `held_out`; by then all that is to be gone on from
    lies in the folder of the checkpoints, under `name`. Raises UserError for more blocks than there are, and where the
    loss is no number.
    """
    source, settings = phase.source, phase.settings
    keras.utils.set_random_seed(settings.seed)
    if tf.config.list_physical_devices("GPU"):
        keras.mixed_precision.set_global_policy("mixed_float16")
    data = training_batches(source, rows, weights, settings)
    steps = -(-rows["id"].nunique() // settings.batch_size)
    with phase.strategy.scope():
        backbone = build_model(settings.backbone, source.spec.tile_size, pretrained=phase.pretrained)
        if settings.fine_tune_blocks > len(block_names(backbone)):
            raise UserError(
                f"fine-tune-blocks {settings.fine_tune_blocks}: {settings.backbone} has {len(block_names(backbone))}"
            )
        unfreeze(backbone, settings.fine_tune_blocks)
        model = BagModel(backbone, head, settings.augment)
        # What has never seen a tile cannot be restored.
        model((tf.zeros((1, 2, *backbone.input_shape[1:]), tf.uint8), tf.constant([2])))
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        model.compile(_optimizer(settings.fine_tune_learning_rate, epochs, steps), loss)
    measure = _Epochs(model, source, held_out, on_epoch)
    backup = keras.callbacks.BackupAndRestore(str(phase.checkpoints.folder / name), delete_checkpoint=False)
    model.fit(data, epochs=epochs, verbose=0, callbacks=[backup, measure])
    return model.backbone, model.read_head()


def _optimizer(rate: float, epochs: int, steps: int) -> Any:
    """Adam along half a cosine after a short warm-up; each epoch ends with the weights' moving average."""
    warm = max(int(_WARM_UP * epochs * steps), 1)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(epochs * steps - warm, 1), warmup_target=rate, warmup_steps=warm
    )
    return keras.optimizers.Adam(
        schedule, clipnorm=1.0, use_ema=True, ema_momentum=_AVERAGED, ema_overwrite_frequency=steps
    )


class _Epochs(keras.callbacks.Callback):  # type: ignore[misc]
    """Scores the held-out rows after each epoch, and stops where that says so."""

    def __init__(self, model: BagModel, source: TileSource, held_out: pd.DataFrame | None, on_epoch: EpochEnd) -> None:
        super().__init__()
        self._bags, self._source, self._held_out, self._on_epoch = model, source, held_out, on_epoch
        self._describe = describer(model.backbone)
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002 (Keras's signature)
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        loss = float((logs or {})["loss"])
        if not np.isfinite(loss):
            raise UserError(f"training diverged in epoch {epoch + 1}: the loss is {loss}; lower the learning rate")
        logits = np.zeros(0)
        if self._held_out is not None:
            logits = logits_of(self._bags.read_head(), self._describe, self._source, self._held_out)
        if not self._on_epoch(epoch + 1, logits, loss):
            self.model.stop_training = True
        epochs, took = self.params["epochs"], time.monotonic() - self._began
        print(f"Epoch {epoch + 1}/{epochs}{left(took * (epochs - epoch - 1))}", flush=True)


def training_batches(source: TileSource, rows: pd.DataFrame, weights: Floats, settings: Hyperparameters) -> Any:
    """Return the batches of whole screenshots of an epoch, shuffled anew in each, as a `tf.data.Dataset`.

    Each is ((tiles uint8 [b, m, size, size, 3], their numbers int32 [b]), labels float32 [b, 1], weights float32 [b]);
    zeros stand where a screenshot has fewer tiles than the batch's longest.
    """
    size = source.spec.tile_size
    labels = tf.constant(rows.drop_duplicates("id")["label"].to_numpy(np.float32))
    counted = tf.constant(weights.astype(np.float32))

    def load(code: Any, bag: Any) -> Any:
        squares = tf.random.shuffle(tf.range(1, tf.shape(bag)[0]))
        chosen = tf.gather(bag, tf.concat([[0], tf.sort(squares[: _MOST_TILES - 1])], 0))
        tiles = tf.map_fn(lambda data: decode(data, size), chosen, fn_output_signature=tf.uint8)
        tiles = tf.ensure_shape(tiles, (None, size, size, 3))
        return (tiles, tf.shape(tiles)[0]), labels[code][None], counted[code]

    mixed = source.bags(rows).shuffle(_SHUFFLE_SCREENSHOTS)
    batches = mixed.map(load, num_parallel_calls=tf.data.AUTOTUNE).padded_batch(settings.batch_size).prefetch(2)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options)


def tiles_of(rows: pd.DataFrame, screenshots: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Return the tiles of some screenshots, by their place among those of `rows`."""
    return rows[np.isin(screenshot_codes(rows), screenshots)].reset_index(drop=True)
