"""Heat maps of what makes a tile flagged: Grad-CAM (Selvaraju et al. 2017) of the last layer of features."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
import tf_keras as keras

from steps.core.tiles.tiling import OVERVIEW
from steps.network.reducer import OVERVIEW_LOGIT
from steps.network.tile_input import TileSource

_LAST = "Conv_1/act"
_BATCH = 16


def class_activations(
    model: Any, source: TileSource, rows: pd.DataFrame, ids: Sequence[str]
) -> dict[tuple[str, int], npt.NDArray[np.float32]]:
    """Return a map for each tile of the screenshots `ids`, float32 [g, g], 0 to 1, by (id, index).

    It is 0 where nothing speaks for the positive class; maps of one screenshot share their scale, so that they can be
    compared. Models without MobileNetV3's last layer have none.
    """
    if _LAST not in [layer.name for layer in model.layers]:
        return {}
    chosen = rows[rows["id"].isin(list(ids))].reset_index(drop=True)
    if chosen.empty:
        return {}
    split = keras.Model(model.input, [model.get_layer(_LAST).output, model.output])
    index = chosen["index"].to_numpy()
    maps: list[Any] = [None] * len(chosen)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def look(tiles: Any, whole: Any) -> Any:
        with tf.GradientTape() as tape:
            features, evidence = split(tf.cast(tiles, tf.float32), training=False)
            squares = tf.reduce_sum(evidence[:, OVERVIEW_LOGIT + 1 :], 1)
            logit = tf.where(whole, evidence[:, OVERVIEW_LOGIT], squares)
        slope = tf.reduce_mean(tape.gradient(logit, features), [1, 2], keepdims=True)
        return tf.nn.relu(tf.reduce_sum(slope * features, 3))

    for at, tiles in source.batches(chosen, _BATCH):
        places = at.numpy()
        for place, found in zip(places, look(tiles, tf.constant(index[places] == OVERVIEW)).numpy(), strict=True):
            maps[place] = found
    strongest = pd.Series([float(m.max()) for m in maps]).groupby(chosen["id"].to_numpy()).transform("max").to_numpy()
    names = zip(chosen["id"], chosen["index"], strict=True)
    return {
        (str(name), int(number)): (found / max(scale, 1e-9)).astype(np.float32)
        for (name, number), found, scale in zip(names, maps, strongest, strict=True)
    }
