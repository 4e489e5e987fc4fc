"""Heat maps of what makes a tile flagged: class activation maps (Zhou et al. 2016), exact for a linear head."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
import tf_keras as keras

from steps.core.tiles.tiling import OVERVIEW
from steps.network.backbone import LAST_MAP
from steps.network.head import Head
from steps.network.tile_input import TileSource

_BATCH = 16


def class_activations(
    model: Any, head: Head, source: TileSource, rows: pd.DataFrame, ids: Sequence[str]
) -> dict[tuple[str, int], npt.NDArray[np.float32]]:
    """Return a map for each tile of the screenshots `ids`, float32 [g, g], 0 to 1, by (id, index).

    It is 0 where nothing speaks for the positive class; maps of one screenshot share their scale, so that they can be
    compared. What the head reads of earlier layers is not in it.
    """
    chosen = rows[rows["id"].isin(list(ids))].reset_index(drop=True)
    if chosen.empty:
        return {}
    show = keras.Model(model.input, model.get_layer(LAST_MAP).output)
    channels = show.output_shape[-1]
    weights = np.stack([head.mean + head.maximum, head.overview])[:, :channels].astype(np.float32)
    whole = (chosen["index"] == OVERVIEW).to_numpy(np.int64)
    maps: list[Any] = [None] * len(chosen)
    for at, tiles in source.batches(chosen, _BATCH):
        places = at.numpy()
        seen = show(tf.cast(tiles, tf.float32), training=False).numpy()
        for place, found in zip(places, np.einsum("nhwc,nc->nhw", seen, weights[whole[places]]), strict=True):
            maps[place] = np.maximum(found, 0)
    strongest = pd.Series([float(m.max()) for m in maps]).groupby(chosen["id"].to_numpy()).transform("max").to_numpy()
    names = zip(chosen["id"], chosen["index"], strict=True)
    return {
        (str(name), int(number)): (found / max(scale, 1e-9)).astype(np.float32)
        for (name, number), found, scale in zip(names, maps, strongest, strict=True)
    }
