"""Magnitude pruning: the smallest weights of each kernel become zeros, which an archive stores in almost no bytes.

Zhu and Gupta 2017 (https://arxiv.org/abs/1710.01878), by tensorflow-model-optimization: sparsity rises along a
polynomial while training makes up for it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras as keras

from steps.network.compression.cloning import freeze_statistics, is_kernel_layer, wrapped

Fit = Callable[[Any, Sequence[Any]], None]
SPARSITY = 0.5
# Sparsity is reached after this share of the steps; in the others training makes up for it.
_RISING = 0.6
_UPDATES = 30


def prune(model: Any, fit: Fit, *, steps: int, sparsity: float = SPARSITY) -> Any:
    """Return a pruned copy of a tile model, trained by `fit(wrapped, callbacks)` for about `steps` steps.

    `sparsity` (0 to 1) of each large kernel is zero in the end, also if `fit` puts back the weights of an early epoch.
    """
    end = max(1, round(_RISING * steps))
    schedule = tfmot.sparsity.keras.PolynomialDecay(0.0, sparsity, 0, end, frequency=max(1, end // _UPDATES))

    def wrap(layer: Any) -> Any:
        if not is_kernel_layer(layer):
            return layer
        return tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule)

    pruned = wrapped(model, wrap)
    freeze_statistics(pruned)
    fit(pruned, [_PruningSteps(pruned)])
    stripped = tfmot.sparsity.keras.strip_pruning(pruned)
    for layer in stripped.layers:
        if is_kernel_layer(layer):
            layer.kernel.assign(_cut(layer.kernel.numpy(), sparsity))
    return stripped


def _cut(kernel: Any, sparsity: float) -> Any:
    """Set the smallest weights to zero, as many as are missing to `sparsity`."""
    smallest = np.argsort(np.abs(kernel), axis=None, kind="stable")[: round(sparsity * kernel.size)]
    cut = kernel.copy().reshape(-1)
    cut[smallest] = 0.0
    return cut.reshape(kernel.shape)


class _PruningSteps(keras.callbacks.Callback):  # type: ignore[misc]
    """Starts the schedule and masks after each epoch, in a model that may lie anywhere inside the trained one."""

    def __init__(self, pruned: Any) -> None:
        super().__init__()
        self._wrappers = [layer for layer in pruned.layers if hasattr(layer, "pruning_obj")]

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        for layer in self._wrappers:
            layer.pruning_step.assign(0)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        for layer in self._wrappers:
            layer.pruning_obj.weight_mask_op()
