"""MobileNetV3 as a functional tf_keras model whose every layer is a layer.

Same topology, names and weight order as `tf_keras.applications.MobileNetV3{Small,Large}` (Howard et al. 2019,
https://arxiv.org/abs/1905.02244), so that `set_weights` takes the stock model's weights as they are. Hard-swish and
hard-sigmoid are layers of their own instead of lambdas, in the form that TFLite fuses.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from steps.core.common.choices import BACKBONES
from steps.core.common.errors import UserError
from steps.core.common.files import replacing
from steps.network.weights import read_arrays, read_pretrained

POOL = "pool"
FEATURES = "features"
# The last layer that still knows where something is.
LAST_MAP = "Conv_1/act"
_DIVISOR = 8
# Keras's momentum of 0.999 needs thousands of steps to forget the initial statistics.
_MOMENTUM_PRETRAINED, _MOMENTUM_SCRATCH = 0.999, 0.9

layers = keras.layers


class HardSwish(keras.layers.Layer):  # type: ignore[misc]
    """x * relu6(x + 3) / 6, in the form that the TFLite converter fuses into HARD_SWISH."""

    def call(self, inputs: Any) -> Any:
        return inputs * tf.nn.relu6(inputs + 3.0) * (1.0 / 6.0)


class HardSigmoid(keras.layers.Layer):  # type: ignore[misc]
    """relu6(x + 3) / 6."""

    def call(self, inputs: Any) -> Any:
        return tf.nn.relu6(inputs + 3.0) * (1.0 / 6.0)


class _Block(NamedTuple):
    """A row of the paper's tables 1 and 2: expansion ratio, output channels, kernel, stride, squeeze, hard-swish."""

    expansion: float
    filters: int
    kernel: int
    stride: int
    squeeze: int
    hard_swish: int


_SMALL = (
    (1, 16, 3, 2, 1, 0),
    (72 / 16, 24, 3, 2, 0, 0),
    (88 / 24, 24, 3, 1, 0, 0),
    (4, 40, 5, 2, 1, 1),
    (6, 40, 5, 1, 1, 1),
    (6, 40, 5, 1, 1, 1),
    (3, 48, 5, 1, 1, 1),
    (3, 48, 5, 1, 1, 1),
    (6, 96, 5, 2, 1, 1),
    (6, 96, 5, 1, 1, 1),
    (6, 96, 5, 1, 1, 1),
)
_LARGE = (
    (1, 16, 3, 1, 0, 0),
    (4, 24, 3, 2, 0, 0),
    (3, 24, 3, 1, 0, 0),
    (3, 40, 5, 2, 1, 0),
    (3, 40, 5, 1, 1, 0),
    (3, 40, 5, 1, 1, 0),
    (6, 80, 3, 2, 0, 1),
    (2.5, 80, 3, 1, 0, 1),
    (2.3, 80, 3, 1, 0, 1),
    (2.3, 80, 3, 1, 0, 1),
    (6, 112, 3, 1, 1, 1),
    (6, 112, 3, 1, 1, 1),
    (6, 160, 5, 2, 1, 1),
    (6, 160, 5, 1, 1, 1),
    (6, 160, 5, 1, 1, 1),
)

# Blocks whose output is pooled beside the last layer's: strokes, icons and textures, which the last layer has put
# together to objects of photographs.
_SMALL_POOLED, _LARGE_POOLED = (2, 5, 7, 10), (5, 9, 11, 14)


def _depth(value: float) -> int:
    """Round channels to a multiple of 8, never down by more than 10 % (as the reference implementation does)."""
    rounded = max(_DIVISOR, int(value + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return rounded + _DIVISOR if rounded < 0.9 * value else rounded


class _Builder:
    """The parts that depend on the variant."""

    def __init__(self, momentum: float, *, minimalistic: bool) -> None:
        self.momentum, self.minimalistic = momentum, minimalistic

    def activate(self, x: Any, name: str, *, hard_swish: bool) -> Any:
        kind = HardSwish if hard_swish and not self.minimalistic else layers.ReLU
        return kind(name=name)(x)

    def normalise(self, x: Any, name: str) -> Any:
        return layers.BatchNormalization(epsilon=1e-3, momentum=self.momentum, name=name)(x)

    def squeeze(self, x: Any, prefix: str) -> Any:
        channels = x.shape[-1]
        gate = layers.GlobalAveragePooling2D(keepdims=True, name=prefix + "AvgPool")(x)
        gate = layers.Conv2D(_depth(channels * 0.25), 1, padding="same", name=prefix + "Conv")(gate)
        gate = layers.ReLU(name=prefix + "Relu")(gate)
        gate = layers.Conv2D(channels, 1, padding="same", name=prefix + "Conv_1")(gate)
        gate = HardSigmoid(name=prefix + "gate")(gate)
        return layers.Multiply(name=prefix + "Mul")([x, gate])

    def block(self, x: Any, block: _Block, number: int) -> Any:
        prefix = f"expanded_conv_{number}/" if number else "expanded_conv/"
        shortcut, channels = x, x.shape[-1]
        kernel = 3 if self.minimalistic else block.kernel
        if number:
            x = layers.Conv2D(
                _depth(channels * block.expansion), 1, padding="same", use_bias=False, name=prefix + "expand"
            )(x)
            x = self.normalise(x, prefix + "expand/BatchNorm")
            x = self.activate(x, prefix + "expand/act", hard_swish=bool(block.hard_swish))
        if block.stride > 1:
            x = layers.ZeroPadding2D(_padding(x, kernel), name=prefix + "depthwise/pad")(x)
        x = layers.DepthwiseConv2D(
            kernel,
            strides=block.stride,
            padding="same" if block.stride == 1 else "valid",
            use_bias=False,
            name=prefix + "depthwise",
        )(x)
        x = self.normalise(x, prefix + "depthwise/BatchNorm")
        x = self.activate(x, prefix + "depthwise/act", hard_swish=bool(block.hard_swish))
        if block.squeeze and not self.minimalistic:
            x = self.squeeze(x, prefix + "squeeze_excite/")
        x = layers.Conv2D(block.filters, 1, padding="same", use_bias=False, name=prefix + "project")(x)
        x = self.normalise(x, prefix + "project/BatchNorm")
        if block.stride == 1 and channels == block.filters:
            x = layers.Add(name=prefix + "Add")([shortcut, x])
        return x


def _padding(x: Any, kernel: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Pad as Keras's `correct_pad` does, so that strided kernels see what they saw when they were trained."""
    half = kernel // 2
    height, width = (half - (1 - side % 2) for side in x.shape[1:3])
    return (height, half), (width, half)


def build_model(backbone: str, size: int, *, pretrained: Path | None = None) -> Any:
    """Build a tile model: float32 [n, size, size, 3], RGB 0 to 255, to features [n, D], float32.

    `backbone` is one of BACKBONES. `pretrained` is a Keras `*.weights.h5` of the stock model without its top; without
    it the weights are random. Raises UserError if the weights do not fit the backbone.
    """
    if backbone not in BACKBONES:
        raise UserError(f"backbone {backbone!r}: one of {', '.join(BACKBONES)} is wanted")
    builder = _Builder(
        _MOMENTUM_PRETRAINED if pretrained else _MOMENTUM_SCRATCH, minimalistic=backbone.endswith("-minimalistic")
    )
    inputs = layers.Input((size, size, 3), name="tile")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(inputs)
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="Conv")(x)
    x = builder.activate(builder.normalise(x, "Conv/BatchNorm"), "Conv/act", hard_swish=True)
    blocks, pooled = (_SMALL, _SMALL_POOLED) if backbone.startswith("small") else (_LARGE, _LARGE_POOLED)
    early = []
    for number, block in enumerate(map(_Block._make, blocks)):
        x = builder.block(x, block, number)
        if number in pooled:
            early.append(layers.GlobalAveragePooling2D(name=f"pool_{number}")(x))
    x = layers.Conv2D(_depth(x.shape[-1] * 6), 1, padding="same", use_bias=False, name="Conv_1")(x)
    x = builder.activate(builder.normalise(x, "Conv_1/BatchNorm"), LAST_MAP, hard_swish=True)
    x = layers.GlobalAveragePooling2D(name=POOL)(x)
    outputs = layers.Concatenate(name=FEATURES, dtype="float32")([x, *early])
    model = keras.Model(inputs, outputs, name=f"mobilenetv3-{backbone}")
    if pretrained:
        load_pretrained(model, pretrained)
    return model


def load_pretrained(model: Any, weights: Path) -> None:
    """Give a tile model the weights of a stock model; raises UserError if they are of another one."""
    kinds = {
        layers.Conv2D: "conv2d",
        layers.DepthwiseConv2D: "depthwise_conv2d",
        layers.BatchNormalization: "batch_normalization",
    }
    wanted = [(kinds[type(la)], la.name, [tuple(w.shape) for w in la.weights]) for la in model.layers if la.weights]
    model.set_weights(read_pretrained(weights, wanted, model.name))


def unfreeze(model: Any, blocks: int) -> None:
    """Leave the last `blocks` blocks trainable: the last convolution counts as one, then the blocks before it.

    Batch normalisation keeps its statistics: a small data set would spoil them.
    """
    numbers = {name: number for number, name in enumerate(reversed(block_names(model)))}
    for layer in model.layers:
        number = numbers.get(_block_of(layer.name), len(numbers))
        layer.trainable = number < blocks and not isinstance(layer, keras.layers.BatchNormalization)


def block_names(model: Any) -> list[str]:
    """Return the names of the blocks that have weights, from the input on: `Conv`, `expanded_conv`, …, `Conv_1`."""
    return list(dict.fromkeys(_block_of(layer.name) for layer in model.layers if layer.weights))


def _block_of(layer: str) -> str:
    return layer.partition("/")[0]


def save_weights(model: Any, path: Path) -> None:
    """Save the weights, and nothing else, as a NumPy archive of numbered arrays."""
    with replacing(path) as beside, beside.open("wb") as stream:
        np.savez(stream, **{f"{number:04}": value for number, value in enumerate(model.get_weights())})


def load_weights(model: Any, path: Path) -> Any:
    """Give a model the weights that `save_weights` saved, and return it; raises UserError if they are not its own.

    Nothing but finite numbers of the very shapes is read: a file from outside can neither run code nor fill the memory.
    """
    model.set_weights(read_arrays(path, [tuple(weight.shape) for weight in model.weights]))
    return model
