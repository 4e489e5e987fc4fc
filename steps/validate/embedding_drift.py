"""Whether new screenshots show other things than old ones: a two-sample test on features of the frozen backbone.

Sizes, colours and sharpness (`steps.validate.drift_comparison`) miss what is on a screen; the pretrained backbone sees
it without knowing any label. It looks at the small pictures that validation keeps of every screenshot
(`steps.validate.image_facts`), so no original is opened again. They are squashed to a square, because their shape is
compared elsewhere. 128 pixels a side tell web captures from store screenshots as well as 160 do, and better than 96.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import simplejpeg

from steps.core.common.errors import UserError
from steps.network.runtime import start_tensorflow
from steps.validate.drift import EMBEDDING, Drift, classifier_two_sample

if TYPE_CHECKING:
    from steps.core.tiles.resize import Pixels

SIDE = 128
SAMPLE = 2000

_BATCH = 64
_SEED = 17

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

    Groups are by id as well; see `steps.validate.drift.classifier_two_sample` for what distance and bound mean. If a
    side has no picture, nothing is known (distance and bound are 0), and TensorFlow is not started. Raises UserError
    for an unknown backbone, foreign weights and unreadable pictures.
    """
    ours, theirs = sorted(base), sorted(new)
    if not (ours and theirs):
        return Drift(EMBEDDING, 0.0, 0.0, 0, 0, limit)
    values = embed([base[name] for name in ours] + [new[name] for name in theirs], weights, backbone)
    groups = [base_groups[name] for name in ours], [new_groups[name] for name in theirs]
    return classifier_two_sample(values[: len(ours)], values[len(ours) :], *groups, limit=limit)


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
