"""Eight-bit arithmetic, simulated: fake quantisation around every layer up to the pooled features.

Jacob et al. 2018 (https://arxiv.org/abs/1712.05877), by tensorflow-model-optimization. The converter turns a simulated
model into one that really computes with integers, without a representative data set: the ranges lie in the model, where
`observe` puts them.

What follows the pooled features stays float: it is a few thousand multiplications, and 8 bits of a logit would put
many screenshots on the very threshold.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
    default_8bit_quantize_registry,
)

from steps.core.common.errors import UserError
from steps.network.backbone import HardSwish, ShiftedRelu6, SixthScale
from steps.network.compression.cloning import copy_of, freeze_statistics

_RANK_OF_MAPS = 4
_MOST_SEEN = 128
# An activation's range is never narrower than _LEAST, nor a channel's weights' than _ROOM (1 + |bias|): so a bias is at
# most 127 * 255 / (_ROOM * _LEAST), some 650 million units, of the 2,147 million that 32 bits hold.
_LEAST = 0.05
_ROOM = 1e-3


@keras.saving.register_keras_serializable("tilegate")
class PixelGrid(keras.layers.Layer):  # type: ignore[misc]
    """Pixels p, 0 to 255, to (p - 127) / 127.5: a grid on which 8 bits hold every pixel, and the padding's 0, exactly.

    The float model takes (p - 127.5) / 127.5, half a grey level darker, of which 8 bits hold no pixel exactly.
    """

    def call(self, inputs: Any) -> Any:
        shifted = inputs * (1 / 127.5) - 127 / 127.5
        return tf.quantization.fake_quant_with_min_max_args(shifted, min=-127 / 127.5, max=128 / 127.5, num_bits=8)


class Nothing(tfmot.quantization.keras.QuantizeConfig):  # type: ignore[misc]
    """For layers whose values are rounded elsewhere."""

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:  # noqa: ARG002
        return []

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:  # noqa: ARG002
        return []

    def set_quantize_weights(self, layer: Any, quantize_weights: Any) -> None:
        pass

    def set_quantize_activations(self, layer: Any, quantize_activations: Any) -> None:
        pass

    def get_output_quantizers(self, layer: Any) -> list[Any]:  # noqa: ARG002
        return []

    def get_config(self) -> dict[str, Any]:
        return {}


class OutputOnly(Nothing):
    """Eight bits for what a layer gives, per tensor."""

    def get_output_quantizers(self, layer: Any) -> list[Any]:  # noqa: ARG002
        quantizer = tfmot.quantization.keras.quantizers.MovingAverageQuantizer
        return [quantizer(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)]


class _EachChannel(tfmot.quantization.keras.quantizers.LastValueQuantizer):  # type: ignore[misc]
    """A range for each channel of a depthwise kernel [height, width, channels, 1]."""

    def __init__(self) -> None:
        super().__init__(num_bits=8, per_axis=True, symmetric=True, narrow_range=True)

    def build(self, tensor_shape: Any, name: str, layer: Any) -> Any:
        return super().build(tensor_shape[:-1], name, layer)

    def __call__(self, inputs: Any, training: bool, weights: Any, **more: Any) -> Any:  # noqa: FBT001
        height, width, channels, multiplier = inputs.shape
        flat = tf.reshape(inputs, (height, width, multiplier, channels))
        return tf.reshape(super().__call__(flat, training, weights, **more), inputs.shape)

    def get_config(self) -> dict[str, Any]:
        return {}


class Depthwise(Nothing):
    """Eight bits for a depthwise kernel, with a scale a channel.

    The default scheme has one scale for all of them, and channels of trained kernels differ by orders of magnitude.
    """

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        return [(layer.depthwise_kernel, _EachChannel())]

    def set_quantize_weights(self, layer: Any, quantize_weights: Any) -> None:
        layer.depthwise_kernel = quantize_weights[0]


_OBJECTS = {
    kind.__name__: kind for kind in (Nothing, OutputOnly, Depthwise, PixelGrid, HardSwish, ShiftedRelu6, SixthScale)
}
_OUTPUT_ONLY = (HardSwish, ShiftedRelu6, SixthScale, keras.layers.Multiply)


def simulated(model: Any) -> Any:
    """Return a copy of a tile model with fake quantisation; its ranges mean nothing before `observe`.

    Raises UserError for a layer nobody has taught to be quantised.
    """
    annotated = keras.models.clone_model(copy_of(model), clone_function=_annotate)
    annotated.set_weights(model.get_weights())
    with tfmot.quantization.keras.quantize_scope(_OBJECTS):
        made = tfmot.quantization.keras.quantize_apply(annotated)
    freeze_statistics(made)
    return made


def _annotate(layer: Any) -> Any:
    if isinstance(layer, keras.layers.Rescaling):
        return PixelGrid(name=layer.name)
    is_map = layer.output.shape.rank == _RANK_OF_MAPS or isinstance(layer, keras.layers.GlobalAveragePooling2D)
    if isinstance(layer, keras.layers.InputLayer) or not is_map:
        return layer
    return tfmot.quantization.keras.quantize_annotate_layer(layer, _config(layer))


def _config(layer: Any) -> Any:
    """Return how to round what a layer computes with, None for the default scheme's way."""
    if isinstance(layer, _OUTPUT_ONLY):
        return OutputOnly()
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return Depthwise()
    if isinstance(layer, keras.layers.BatchNormalization):
        if not isinstance(_before(layer), keras.layers.DepthwiseConv2D):
            return None
        # The converter fuses a ReLU into the convolution, so that nothing in between is ever rounded.
        return Nothing() if isinstance(_after(layer), keras.layers.ReLU) else OutputOnly()
    if not default_8bit_quantize_registry.Default8BitQuantizeRegistry().supports(layer):
        raise UserError(f"layer {layer.name} ({type(layer).__name__}) has no 8-bit form: leave int8 out")
    return None


def _before(layer: Any) -> Any:
    return layer.inbound_nodes[0].inbound_layers


def _after(layer: Any) -> Any:
    return layer.outbound_nodes[0].layer


def observe(model: Any, batches: Iterable[npt.NDArray[np.float32]]) -> None:
    """Set every range of a simulated model to what is seen on real tiles, float32 [n, size, size, 3], 0 to 255.

    A range is the mean over the tiles, at most 128, of their own extremes: the few values beyond are cut off, which
    costs less than coarser steps for all the others. No weight changes. Raises UserError if there is no tile.
    """
    ranges: list[Any] = []
    tiles = (tile for batch in batches for tile in batch)
    with _watching(model) as watched:
        for tile in itertools.islice(tiles, _MOST_SEEN):
            model(np.asarray(tile)[None], training=True)
            ranges.append([(float(v["min_var"].numpy()), float(v["max_var"].numpy())) for v in watched])
    if not ranges:
        raise UserError("the representative data set is empty: int8 needs calibration screenshots to set its ranges by")
    for variables, (low, high) in zip(watched, np.mean(ranges, axis=0), strict=True):
        variables["min_var"].assign(low)
        variables["max_var"].assign(max(high, _LEAST if low > -_LEAST else 0.0))
    make_room(model)


def make_room(model: Any) -> None:
    """Widen the ranges of weights so far that no bias overflows: its unit is that of the weights times the input's.

    Trained networks have channels whose weights are all but zero, beside a bias that is not; stored in 32 bits, in
    units that small, it would be cut off without a word.
    """
    for layer in model.layers:
        inner = getattr(layer, "layer", None)
        if isinstance(inner, keras.layers.Conv2D) and inner.use_bias:
            room = _ROOM * (1.0 + np.abs(inner.bias.numpy()))
            for _, _, variables in layer._weight_vars:  # noqa: SLF001
                wide = np.maximum(variables["max_var"].numpy(), room)
                variables["max_var"].assign(wide)
                variables["min_var"].assign(-wide)


def _layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


@contextmanager
def _watching(model: Any) -> Iterator[Sequence[dict[str, Any]]]:
    """Let each range be the extremes of the present batch, and yield the variables of all ranges of activations.

    Training's own observers begin at -6 to 6 and forget it over thousands of steps.
    """
    variables: list[dict[str, Any]] = []
    put_back: list[tuple[Any, str, Any]] = []

    def replace(owner: Any, name: str, value: Any) -> None:
        put_back.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    last = tfmot.quantization.keras.quantizers.LastValueQuantizer(
        8, per_axis=False, symmetric=False, narrow_range=False
    )
    for layer in _layers(model):
        for activation in getattr(layer, "_quantize_activations", ()):
            if hasattr(activation, "_post_activation_vars"):
                variables.append(activation._post_activation_vars)  # noqa: SLF001
                replace(activation, "quantizer", last)
        if getattr(layer, "_output_quantizers", None):
            variables.append(layer._output_quantizer_vars)  # noqa: SLF001
            replace(layer, "_output_quantizers", [last])
        dropout = getattr(layer, "layer", layer)
        if isinstance(dropout, keras.layers.Dropout):
            replace(dropout, "rate", 0.0)
    try:
        yield variables
    finally:
        for owner, name, value in put_back:
            setattr(owner, name, value)
