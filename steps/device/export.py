"""From a tile model to a TFLite file with the signature `tile`, of built-in operators only.

`pixels` uint8 RGB [1, size, size, 3] -> `features` float32 [1, D]. The tiles are cut, and their features made a score
of, outside: in a graph both cost four times the processor time and seven times the memory (docs/android.md).
"""

import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from steps.core.common.errors import UserError
from steps.core.common.files import replacing
from steps.core.common.scratch import scratch
from steps.core.common.worker_pool import die_with_parent
from steps.core.tiles.spec import PreprocessingSpec
from steps.device import TILE
from steps.device.metadata import finish
from steps.network.compression.post_training import quiet
from steps.network.head import Head

MODES = ("float32", "float16")


def export(tile_model: Any, head: Head, spec: PreprocessingSpec, path: Path, *, mode: str = "float32") -> None:
    """Convert to `path`, metadata included.

    `tile_model` is the Keras model, float32 [n, size, size, 3] of 0 to 255 to features [n, D]; `mode` says how its
    weights are kept. Raises UserError where the converter gives up.
    """
    if mode not in MODES:
        raise UserError(f"conversion mode {mode!r}: one of {', '.join(MODES)} is wanted")
    shape = (*tile_model.input_shape[1:], tile_model.output_shape[-1])
    if shape != (spec.tile_size, spec.tile_size, 3, head.width):
        raise UserError(
            f"a model of tiles {shape[:3]} with {shape[3]} features each, to go with tiles of {spec.tile_size} pixels "
            f"and a head of {head.width} features: all three must be of one training"
        )
    with scratch("convert") as folder:
        _save(tile_model, spec.tile_size, str(folder))
        converted = _in_a_child(str(folder))
    with replacing(path) as beside:
        beside.write_bytes(_with_short_weights(converted) if mode == "float16" else converted)
        finish(beside, head, spec)


def _save(tile_model: Any, size: int, folder: str) -> None:
    import tensorflow as tf

    def tile(pixels: Any) -> dict[str, Any]:
        return {"features": tile_model(tf.cast(pixels, tf.float32), training=False)}

    module = tf.Module()
    module.model = tile_model
    pixels = tf.TensorSpec((1, size, size, 3), tf.uint8, name="pixels")
    traced = tf.function(tile, input_signature=[pixels])
    tf.saved_model.save(module, folder, {TILE: traced.get_concrete_function()})


def _with_short_weights(converted: bytes) -> bytes:
    """Keep the layers' weights as 16-bit floats, and no other constant."""
    from ai_edge_quantizer import quantizer, recipe_manager
    from ai_edge_quantizer.qtyping import TFLOperationName

    recipe = recipe_manager.RecipeManager()
    for kind in (TFLOperationName.CONV_2D, TFLOperationName.DEPTHWISE_CONV_2D):
        recipe.add_weight_only_config(".*", kind, 16, algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING)
    with quiet():
        return bytes(quantizer.Quantizer(converted, recipe.get_quantization_recipe()).quantize().quantized_model or b"")


def _in_a_child(folder: str) -> bytes:
    # The converter keeps the memory it took (https://github.com/tensorflow/tensorflow/issues/122598).
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=die_with_parent) as pool:
        try:
            return pool.submit(_convert, folder).result()
        except BrokenProcessPool:
            raise UserError("the conversion to TFLite was killed: it needs more memory than there is") from None


def _convert(folder: str) -> bytes:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[TILE])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        converted: bytes = converter.convert()
    except Exception as error:  # noqa: BLE001 - the converter raises whatever it likes, even what cannot be pickled
        raise UserError(f"the conversion to TFLite failed: {str(error)[:500]}") from None
    return converted
