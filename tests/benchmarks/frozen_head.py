"""A real objective that costs a tenth of a second: a head on a frozen backbone's features, trained through a reducer.

Screenshots are cut into tiles, a frozen MobileNetV3Small describes each of them once, and a trial trains one linear
head on these descriptions: the mean of a screenshot's logits in log-sum-exp form, cross-entropy, Adam with decoupled
weight decay. Groups are dealt into thirds: one to train on, one to tune on, one that no search sees.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from steps.core.gate.roc import tpr_at_fpr
from steps.core.tiles.cutting import cut_tiles
from steps.core.tiles.decode import open_image, read_bytes
from steps.core.tiles.spec import PreprocessingSpec
from tests.benchmarks.screenshots import screenshots

FPR = 0.05
BATCH = 32
TRAIN, TUNE, UNSEEN = range(3)


@dataclass(frozen=True)
class Screens:
    """`features` float32 [screenshots, most tiles, d], `there` bool [screenshots, most tiles], labels 0/1, groups."""

    features: np.ndarray
    there: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    @classmethod
    def of(cls, tiles, counts, labels, groups):
        """Take descriptions of tiles [tiles, d], those of each screenshot one after the other."""
        there = np.arange(max(counts)) < np.asarray(counts)[:, None]
        features = np.zeros((*there.shape, tiles.shape[1]), np.float32)
        features[there] = tiles
        return cls(features, there, np.asarray(labels), np.asarray(groups))


def describe(folder, *, sample):
    """Describe the tiles of the benchmarks' screenshots by the backbone with the weights that are given, else random.

    Without real data they are those of a sample of that many screenshots.
    """
    from steps.network.runtime import start_tensorflow

    start_tensorflow()
    import tensorflow as tf
    import tf_keras as keras

    from steps.network.backbone import POOL, build_model

    keras.utils.set_random_seed(17)
    data = screenshots(folder, sample=sample)
    table, spec = pd.read_csv(data.labels), PreprocessingSpec(tile_size=224 if data.real else 96)
    model = build_model("small", spec.tile_size, pretrained=data.weights)
    frozen = keras.Model(model.input, model.get_layer(POOL).output)
    features, counts = [], []
    for picture in data.pictures():
        tiles = np.stack(cut_tiles(open_image(read_bytes(picture))[0], spec))
        features.append(frozen(tf.cast(tiles, tf.float32), training=False).numpy())
        counts.append(len(tiles))
    return Screens.of(np.concatenate(features), counts, table["label"], table["group"])


class FrozenHead:
    """One night: a deal of the groups and a seed, on which trials are trained; `share` of the groups are there yet."""

    def __init__(self, data, seed, *, share=1.0, epochs=12):
        self._seed, self._epochs = seed, epochs
        names = np.array(sorted(set(data.groups)))
        np.random.default_rng(seed).shuffle(names)
        third = {name: number % 3 for number, name in enumerate(names[: int(len(names) * share)])}
        self._third = np.array([third.get(name, -1) for name in data.groups])
        known = data.features[self._third == TRAIN][data.there[self._third == TRAIN]]
        self._features = (data.features - known.mean(axis=0)) / (known.std(axis=0) + 1e-3)
        self._there, self._labels = data.there, data.labels

    def train(self, tuned):
        """Train a trial; return the TPR at 5 % FPR after each epoch on the tuning third, and on the unseen one."""
        rate, decay = float(tuned["fine-tune-learning-rate"]), float(tuned["weight-decay"])
        dropout, smoothing = float(tuned["dropout"]), float(tuned["label-smoothing"])
        rng = np.random.default_rng(self._seed)
        width = self._features.shape[2]
        weights, first, second = (np.zeros(width + 1, np.float32) for _ in range(3))
        step = 0
        order, curves = np.flatnonzero(self._third == TRAIN), ([], [])
        for _ in range(self._epochs):
            rng.shuffle(order)
            for rows in np.split(order, range(BATCH, len(order), BATCH)):
                kept = self._features[rows]
                if dropout:
                    kept = kept * (rng.random(kept.shape, dtype=np.float32) >= dropout) / (1 - dropout)
                logit, share = self._reduce(kept @ weights[:-1] + weights[-1], self._there[rows])
                wanted = self._labels[rows] * (1 - smoothing) + smoothing / 2
                error = (1 / (1 + np.exp(-logit)) - wanted) / len(rows)
                by_tile = error[:, None] * share
                by_weight = by_tile.reshape(-1).astype(np.float32) @ kept.reshape(-1, width)
                slope = np.append(by_weight, by_tile.sum(dtype=np.float32))
                step += 1
                first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
                move = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-7)
                weights = weights - rate * (move + decay * np.append(weights[:-1], np.float32(0)))
            for curve, third in zip(curves, (TUNE, UNSEEN), strict=True):
                rows = self._third == third
                logit, _ = self._reduce(self._features[rows] @ weights[:-1] + weights[-1], self._there[rows])
                curve.append(tpr_at_fpr(logit, self._labels[rows], FPR))
        return curves

    @staticmethod
    def _reduce(logits, there):
        """Return log(mean(exp(logits))) over the tiles that are there, and each tile's share in it."""
        logits = np.where(there, logits, -np.inf)
        top = logits.max(axis=1, keepdims=True)
        rest = np.exp(logits - top)
        total = rest.sum(axis=1, keepdims=True)
        return (top + np.log(total / there.sum(axis=1, keepdims=True)))[:, 0], rest / total
