"""From a tile model and its head to one TFLite file with two signatures that share their weights.

`screenshot`: `pixels` uint8 RGB [1, height, width, 3], any size -> `score` float32 [1], 0 to 1, and `evidence` float32
[tiles], what each tile adds to the logit. `tile`: `pixels` uint8 RGB [1, size, size, 3] -> `features` float32 [1, D].
`tile` is the first subgraph, the one that clients see that know nothing of signatures. Built-in operators only.
"""

import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from steps.core.common.errors import UserError
from steps.core.common.files import replacing
from steps.core.common.worker_pool import die_with_parent
from steps.core.tiles.spec import PreprocessingSpec
from steps.device import SCREENSHOT, TILE
from steps.device.metadata import finish
from steps.network.compression.post_training import quiet
from steps.network.head import Head

MODES = ("float32", "float16", "dynamic", "fake-quant")


def export(tile_model: Any, head: Head, spec: PreprocessingSpec, path: Path, *, mode: str = "float32") -> None:
    """Convert to `path`, metadata included.

    `tile_model` is the Keras model, float32 [n, size, size, 3] of 0 to 255 to features [n, D]; with the mode
    "fake-quant" one that was trained with quantisation in it, whose layers become 8-bit integers. "dynamic" keeps
    8-bit weights, "float16" 16-bit ones. Raises UserError where the converter gives up.
    """
    if mode not in MODES:
        raise UserError(f"conversion mode {mode!r}: one of {', '.join(MODES)} is wanted")
    shape = (*tile_model.input_shape[1:], tile_model.output_shape[-1])
    if shape != (spec.tile_size, spec.tile_size, 3, head.width):
        raise UserError(
            f"a model of tiles {shape[:3]} with {shape[3]} features each, to go with tiles of {spec.tile_size} pixels "
            f"and a head of {head.width} features: all three must be of one training"
        )
    with tempfile.TemporaryDirectory(prefix="tilegate-convert-") as folder:
        _save(tile_model, head, spec, folder)
        converted = _in_a_child(folder, mode)
    with replacing(path) as beside:
        beside.write_bytes(_with_short_weights(converted) if mode == "float16" else converted)
        finish(beside, head, spec)


def _save(tile_model: Any, head: Head, spec: PreprocessingSpec, folder: str) -> None:
    import tensorflow as tf

    from steps.device.preprocessing_graph import prepare_tiles
    from steps.network.head_layers import evidence_of

    size = spec.tile_size

    def tile(pixels: Any) -> dict[str, Any]:
        return {"features": tile_model(tf.cast(pixels, tf.float32), training=False)}

    def screenshot(pixels: Any) -> dict[str, Any]:
        features = tile_model(tf.cast(prepare_tiles(pixels, size), tf.float32), training=False)
        logit, evidence = evidence_of(head, features)
        # A sigmoid in other words: the converter of 8-bit models rounds a sigmoid to the 256 steps of its known range.
        score = 0.5 + 0.5 * tf.tanh(0.5 * logit)
        return {"score": score, "evidence": evidence}

    module = tf.Module()
    module.model = tile_model
    signatures = {
        name: tf.function(function, input_signature=[tf.TensorSpec(shape, tf.uint8, name="pixels")])
        for name, function, shape in ((TILE, tile, (1, size, size, 3)), (SCREENSHOT, screenshot, (1, None, None, 3)))
    }
    tf.saved_model.save(module, folder, {name: traced.get_concrete_function() for name, traced in signatures.items()})


def _with_short_weights(converted: bytes) -> bytes:
    """Keep the layers' weights as 16-bit floats, and nothing else.

    The converter's own way shortens all constants, those that make a score of a logit too: the phone would score
    otherwise than the gate.
    """
    from ai_edge_quantizer import quantizer, recipe_manager
    from ai_edge_quantizer.qtyping import TFLOperationName

    recipe = recipe_manager.RecipeManager()
    for kind in (TFLOperationName.CONV_2D, TFLOperationName.DEPTHWISE_CONV_2D):
        recipe.add_weight_only_config(".*", kind, 16, algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING)
    with quiet():
        return bytes(quantizer.Quantizer(converted, recipe.get_quantization_recipe()).quantize().quantized_model or b"")


def _in_a_child(folder: str, mode: str) -> bytes:
    # The converter keeps the memory it took (https://github.com/tensorflow/tensorflow/issues/122598).
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=die_with_parent) as pool:
        try:
            return pool.submit(_convert, folder, mode).result()
        except BrokenProcessPool:
            raise UserError("the conversion to TFLite was killed: it needs more memory than there is") from None


def _convert(folder: str, mode: str) -> bytes:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[TILE, SCREENSHOT])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if mode in ("dynamic", "fake-quant"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    try:
        converted: bytes = converter.convert()
    except Exception as error:  # noqa: BLE001 - the converter raises whatever it likes, even what cannot be pickled
        raise UserError(f"the conversion to TFLite failed: {str(error)[:500]}") from None
    return converted
