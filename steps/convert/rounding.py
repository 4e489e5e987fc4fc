"""Eight-bit weights that decide like the float ones: rounded in Keras, and the shift that rounding causes taken out.

A kernel whose weights nearly cancel meets inputs with a large mean, and rounding then shifts its output by more than
the output varies. The shift is known: what rounding took off each weight, times the mean of its input (Nagel et al.
2019, https://arxiv.org/abs/1906.04721, section 4.2). It goes into the bias that follows.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import tf_keras as keras

from steps.core.common.errors import UserError

_LARGEST = 127


def rounded(model: Any, batches: Iterable[npt.NDArray[np.float32]]) -> Any:
    """Return a copy of a tile model with weights of which each output channel has at most 255 values.

    Symmetric, a scale a channel: the grid of TFLite, which batch normalisation only stretches. Depthwise kernels become
    16-bit floats, with the batch normalisation that follows folded in, for that grid does not stretch. `batches` are
    real tiles, float32 [n, size, size, 3], 0 to 255. Raises UserError if there is no tile.
    """
    made = keras.models.clone_model(model)
    made.set_weights(model.get_weights())
    chosen = [layer for layer in made.layers if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D))]
    means = _means(model, [model.get_layer(layer.name) for layer in chosen], batches)
    for layer, mean in zip(chosen, means, strict=True):
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            _halve_precision(layer, mean)
        else:
            _round(layer, mean)
    return made


def _halve_precision(layer: Any, mean: npt.NDArray[np.float64]) -> None:
    normalise = layer.outbound_nodes[0].layer
    gamma, beta, centre, variance = (value.astype(np.float64) for value in normalise.get_weights())
    deviation = np.sqrt(variance + normalise.epsilon)
    folded = layer.depthwise_kernel.numpy() * (gamma / deviation)[:, None]
    halved = folded.astype(np.float16).astype(np.float64)
    layer.depthwise_kernel.assign(halved)
    shift = (folded - halved).sum((0, 1, 3)) * mean
    # From here on it only adds: the standard deviation over itself is 1.
    normalise.set_weights([deviation, beta, centre * gamma / deviation - shift, variance])


def _round(layer: Any, mean: npt.NDArray[np.float64]) -> None:
    kernel = layer.kernel.numpy().astype(np.float64)
    scale = np.abs(kernel).max((0, 1, 2), keepdims=True) / _LARGEST
    grid = np.round(kernel / np.where(scale > 0, scale, 1.0)) * scale
    layer.kernel.assign(grid)
    shift = mean @ (kernel - grid).sum((0, 1))
    if layer.use_bias:
        layer.bias.assign_add(shift)
    else:
        normalise = layer.outbound_nodes[0].layer
        normalise.moving_mean.assign_sub(shift)


def _means(model: Any, layers: list[Any], batches: Iterable[npt.NDArray[np.float32]]) -> list[Any]:
    """Return the mean of what each layer takes, over tiles and places: float64 [channels] each."""
    pooled = [keras.layers.GlobalAveragePooling2D()(layer.input) for layer in layers]
    pooling = keras.Model(model.input, pooled)
    total, count = [np.zeros(p.shape[-1]) for p in pooled], 0
    for batch in batches:
        seen = pooling(batch, training=False)
        total = [sums + means.numpy().sum(0, dtype=np.float64) for sums, means in zip(total, seen, strict=True)]
        count += len(batch)
    if not count:
        raise UserError("the representative data set is empty: 8-bit weights need calibration screenshots")
    return [sums / count for sums in total]
