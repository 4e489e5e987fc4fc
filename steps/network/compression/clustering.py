"""Weight clustering: each large kernel keeps sixteen different values, so that an archive needs four bits a weight.

Han, Mao and Dally 2016 (https://arxiv.org/abs/1510.00149), by tensorflow-model-optimization: the values are trained,
and the weights are assigned to them anew in each step.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow_model_optimization as tfmot

from steps.network.compression.cloning import copy_of, freeze_statistics, is_kernel_layer, wrapped

Fit = Callable[[Any, Sequence[Any]], None]
CLUSTERS = 16


def cluster(model: Any, fit: Fit, *, clusters: int = CLUSTERS) -> Any:
    """Return a copy of a tile model whose large kernels hold at most `clusters` values, trained by `fit(wrapped, [])`.

    Centroids begin evenly spaced between a kernel's extremes, as published: the rare large weights matter most.
    """
    initial = tfmot.clustering.keras.CentroidInitialization.LINEAR

    def wrap(layer: Any) -> Any:
        if not is_kernel_layer(layer) or layer.count_params() <= clusters:
            return layer
        return tfmot.clustering.keras.cluster_weights(
            layer, number_of_clusters=clusters, cluster_centroids_init=initial
        )

    clustered = wrapped(model, wrap)
    freeze_statistics(clustered)
    fit(clustered, [])
    return copy_of(tfmot.clustering.keras.strip_clustering(clustered))
