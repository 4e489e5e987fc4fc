"""Shorter weights, arithmetic in floats: a phone downloads less than a third and computes as fast and as exactly.

The runtime unpacks the weights once, when it loads the model. ai-edge-quantizer only rounds; that 8 bits decide like
floats is seen to before, in Keras. A kernel whose weights nearly cancel meets inputs with a large mean, and rounding
then shifts its output by more than the output varies. The shift is known: what rounding took off each weight, times
the mean of its input (Nagel et al. 2019, https://arxiv.org/abs/1906.04721, section 4.2). It goes into the bias that
follows.
"""

import contextlib
import io
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tf_keras as keras

from steps.core.common.errors import UserError
from steps.core.common.files import replacing
from steps.core.dataset.splits import Split
from steps.network.tile_input import TileSource

_TILES = 256
_LARGEST = 127


def write_representative(source: TileSource, path: Path, most: int = _TILES) -> None:
    """Write up to `most` tiles of the calibration split to a .npy file, uint8 [n, size, size, 3], none if it is empty.

    They are spread evenly over the rows, which lie in the order of the ids, hence of nothing; the same data gives the
    same tiles.
    """
    rows = source.rows(Split.CALIBRATION)
    picked = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64))]
    picked = picked.reset_index(drop=True)
    tiles = np.zeros((len(picked), source.spec.tile_size, source.spec.tile_size, 3), np.uint8)
    if len(picked):
        for at, pixels in source.batches(picked, 64).as_numpy_iterator():
            tiles[at] = pixels
    np.save(path, tiles)


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


def shorten(path: Path, bits: int) -> None:
    """Store the convolutions' weights in 8 bits, a scale a channel, or as 16-bit floats, and no other constant.

    Those of depthwise ones become 16-bit floats in any case: they are a twentieth of the weights, and as integers would
    save 2 % and cost most of the precision. In place; the file's metadata are gone. Raises UserError if the file is not
    a float model.
    """
    from ai_edge_quantizer import quantizer, recipe_manager
    from ai_edge_quantizer.qtyping import TFLOperationName

    recipe = recipe_manager.RecipeManager()
    for kind, wanted in ((TFLOperationName.CONV_2D, bits), (TFLOperationName.DEPTHWISE_CONV_2D, 16)):
        casting = {"algorithm_key": quantizer.AlgorithmName.FLOAT_CASTING} if wanted == 16 else {}  # noqa: PLR2004
        recipe.add_weight_only_config(".*", kind, wanted, **casting)
    try:
        with _quiet():
            result = quantizer.Quantizer(path.read_bytes(), recipe.get_quantization_recipe()).quantize()
    except (ValueError, RuntimeError, KeyError) as error:
        raise UserError(f"the weights of {path.name} cannot be stored in {bits} bits: {str(error)[:300]}") from None
    if result.quantized_model is None:
        raise UserError(f"{path.name} has no weights to store in {bits} bits: convert the float32 model first")
    with replacing(path) as beside:
        beside.write_bytes(bytes(result.quantized_model))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's progress bars and warnings out of the log."""
    nowhere = io.StringIO()
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            yield
    finally:
        logging.disable(logging.NOTSET)
