"""Drift of what screenshots show: a two-sample test on features of the frozen backbone.

Sizes, colours and sharpness (`steps.validate.drift`) miss what is on a screen; the pretrained backbone sees
it without knowing any label. It looks at the small pictures that validation keeps of every screenshot
(`steps.validate.image_facts`), so no original is opened again. They are squashed to a square, because their shape is
compared elsewhere. 128 pixels a side tell web captures from store screenshots as well as 160 do, and better than 96.
"""

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import simplejpeg
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from steps.core.common.errors import UserError
from steps.core.gate.statistics import clopper_pearson
from steps.network.runtime import start_tensorflow
from steps.validate.drift import CONFIDENCE, Drift

if TYPE_CHECKING:
    from steps.core.tiles.resize import Pixels

EMBEDDING = "embedding"
SIDE = 128
SAMPLE = 2000

_BATCH = 64
_SEED = 17
# Hundreds of columns and few groups: without a strong penalty the classifier learns the groups by heart.
_REGULARISATION = 0.01

Embeddings = npt.NDArray[np.float16]


def embedding_drift(
    base: Mapping[str, bytes],
    new: Mapping[str, bytes],
    base_groups: Mapping[str, str],
    new_groups: Mapping[str, str],
    *,
    weights: Path,
    backbone: str,
    limit: float,
) -> Drift:
    """Compare two samples of small JPEGs, given by id, by how well a classifier tells their features apart.

    Groups are by id as well; see `classifier_two_sample` for what distance and bound mean. If a
    side has no picture, nothing is known (distance and bound are 0), and TensorFlow is not started. Raises UserError
    for an unknown backbone, foreign weights and unreadable pictures.
    """
    ours, theirs = sorted(base), sorted(new)
    if not (ours and theirs):
        return Drift(EMBEDDING, 0.0, 0.0, 0, 0, limit)
    values = embed([base[name] for name in ours] + [new[name] for name in theirs], weights, backbone)
    groups = [base_groups[name] for name in ours], [new_groups[name] for name in theirs]
    return classifier_two_sample(values[: len(ours)], values[len(ours) :], *groups, limit=limit)


def classifier_two_sample(
    base: npt.NDArray[np.floating],
    new: npt.NDArray[np.floating],
    base_groups: Sequence[Hashable],
    new_groups: Sequence[Hashable],
    *,
    limit: float = 0.2,
) -> Drift:
    """Compare two samples of embeddings, float [n, d] and [m, d], by how well a classifier tells them apart.

    Lopez-Paz and Oquab (2017): a logistic regression learns from half of the groups and is judged on one row of each
    other group, so that its trials are independent; an app in both samples is one group. The distance is 2 x balanced
    accuracy - 1, its bound made of a Clopper-Pearson bound for each sample. With fewer than two groups on a side
    nothing is known: distance and bound are 0. Raises ValueError for shapes that do not fit, or else for values
    that are not finite.
    """
    values = np.concatenate([base, new]).astype(np.float64)
    side = np.repeat([0, 1], [len(base), len(new)])
    group = pd.factorize(np.array([*base_groups, *new_groups], object))[0].astype(np.int64)
    rng = np.random.default_rng(_SEED)
    learns = _half_of_groups(group, side, rng)
    judged = _one_of_each(group, side, np.flatnonzero(~learns), rng)
    trials = [int((side[judged] == at).sum()) for at in (0, 1)]
    if min(trials) == 0 or len(np.unique(side[learns])) < 2:  # noqa: PLR2004 - both samples
        return Drift(EMBEDDING, 0.0, 0.0, trials[0], trials[1], limit)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=_REGULARISATION, class_weight="balanced"))
    with warnings.catch_warnings():
        # A classifier that has not converged is judged all the same, and its bound holds.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(values[learns], side[learns])
    right = model.predict(values[judged]) == side[judged]
    hits = [int(right[side[judged] == at].sum()) for at in (0, 1)]
    each = 1 - (1 - CONFIDENCE) / 2
    lower = sum(clopper_pearson(hit, trial, each)[0] for hit, trial in zip(hits, trials, strict=True)) - 1
    distance = sum(hit / trial for hit, trial in zip(hits, trials, strict=True)) - 1
    return Drift(EMBEDDING, max(0.0, distance), max(0.0, lower), trials[0], trials[1], limit)


def sample_by_group(groups: Mapping[str, str | None], most: int = SAMPLE) -> dict[str, str]:
    """Draw at most `most` ids: one of each group, then a second of each, and so on; return the group of each.

    `groups` are by id; None or NaN stands for a group of its own. As many groups as possible are drawn, because the
    test counts groups. The draw depends on nothing but what is in `groups`.
    """
    # A missing group of a table is NaN. Ids are checksums, which no group is called.
    own = {name: group if isinstance(group := groups[name], str) else name for name in sorted(groups)}
    if len(own) <= most:
        return own
    drawn = pd.Series(own, dtype=object).sample(frac=1, random_state=_SEED)
    turn = drawn.groupby(drawn, sort=False).cumcount()
    return {str(name): own[str(name)] for name in sorted(drawn.index[np.argsort(turn, kind="stable")[:most]])}


def embed(pictures: Sequence[bytes], weights: Path, backbone: str) -> Embeddings:
    """Return the pooled features of the pretrained backbone for whole screens, float16 [n, d].

    `pictures` are JPEGs of any size, `weights` what `steps.network.backbone.build_model` takes as pretrained. Raises
    UserError for weights that do not fit and for a picture that is no JPEG.
    """
    features, width = _features(weights, backbone)
    values = np.empty((len(pictures), width), np.float16)
    for start in range(0, len(pictures), _BATCH):
        tiles = [_squashed(picture) for picture in pictures[start : start + _BATCH]]
        values[start : start + len(tiles)] = features(np.stack(tiles))
    return values


def _half_of_groups(
    group: npt.NDArray[np.int64], side: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Tell which rows to learn from: half of the groups, drawn apart among those of one sample, the other and both."""
    groups = np.arange(int(group.max(initial=-1)) + 1)
    held = np.stack([np.isin(groups, group[side == at]) for at in (0, 1)])
    learns = np.zeros(len(groups), bool)
    for pattern in ((True, False), (False, True), (True, True)):
        members = groups[(held[0] == pattern[0]) & (held[1] == pattern[1])]
        learns[rng.permutation(members)[::2]] = True
    return learns[group]


def _one_of_each(
    group: npt.NDArray[np.int64], side: npt.NDArray[np.int64], rows: npt.NDArray[np.intp], rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Return one row, drawn at random, of each group and sample among `rows`."""
    drawn = rng.permutation(rows)
    first = np.unique(2 * group[drawn] + side[drawn], return_index=True)[1]
    return drawn[first]


def _squashed(picture: bytes) -> "Pixels":
    """Return uint8 RGB [SIDE, SIDE, 3]."""
    try:
        pixels = simplejpeg.decode_jpeg(picture, "RGB")
    except ValueError as error:
        raise UserError(f"the small picture of a screenshot cannot be read ({error}); plan the run again") from None
    return np.asarray(cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def _features(weights: Path, backbone: str) -> tuple[Callable[["Pixels"], npt.NDArray[np.float32]], int]:
    """Return the backbone up to its pooling, for uint8 RGB [n, SIDE, SIDE, 3], and the number of its features."""
    start_tensorflow()
    import tensorflow as tf
    import tf_keras as keras

    from steps.network.backbone import POOL, build_model

    whole = build_model(backbone, SIDE, pretrained=weights)
    pooled = keras.Model(whole.input, whole.get_layer(POOL).output)
    # With the number of pictures left open, the last and smaller batch is no reason to trace the graph again.
    signature = [tf.TensorSpec([None, SIDE, SIDE, 3], tf.uint8)]
    graph = tf.function(lambda tiles: pooled(tf.cast(tiles, tf.float32), training=False), input_signature=signature)
    return lambda tiles: np.asarray(graph(tf.constant(tiles))), int(pooled.output_shape[-1])
