"""Export of a tile model to a TFLite file with the signature `tile`, of built-in operators only.

`pixels` uint8 RGB [1, size, size, 3] -> `features` float32 [1, D]. The tiles are cut, and their features made a score
of, outside: in a graph both cost four times the processor time and seven times the memory (docs/android.md).
"""

from pathlib import Path
from typing import Any

from steps.core.common.errors import UserError
from steps.core.common.files import replacing
from steps.core.common.scratch import scratch
from steps.core.tiles.spec import PreprocessingSpec
from steps.device.contract import TILE
from steps.device.metadata import finish
from steps.network.head import Head


def export(tile_model: Any, head: Head, spec: PreprocessingSpec, path: Path) -> None:
    """Convert to `path`, float32, metadata included.

    `tile_model` is the Keras model, float32 [n, size, size, 3] of 0 to 255 to features [n, D]. The converter keeps the
    memory that it took (https://github.com/tensorflow/tensorflow/issues/122598): convert in a process that ends. Raises
    UserError where the converter gives up.
    """
    shape = (*tile_model.input_shape[1:], tile_model.output_shape[-1])
    if shape != (spec.tile_size, spec.tile_size, 3, head.width):
        raise UserError(
            f"a model of tiles {shape[:3]} with {shape[3]} features each, to go with tiles of {spec.tile_size} pixels "
            f"and a head of {head.width} features: all three must be of one training"
        )
    with scratch("convert") as folder:
        converted = _converted(tile_model, spec.tile_size, str(folder))
    with replacing(path) as beside:
        beside.write_bytes(converted)
        finish(beside, head, spec)


def _converted(tile_model: Any, size: int, folder: str) -> bytes:
    import tensorflow as tf

    def tile(pixels: Any) -> dict[str, Any]:
        return {"features": tile_model(tf.cast(pixels, tf.float32), training=False)}

    # With the model itself every function that Keras knows would be saved and converted, in six times the time.
    module = tf.Module()
    module.held = tile_model.variables
    pixels = tf.TensorSpec((1, size, size, 3), tf.uint8, name="pixels")
    traced = tf.function(tile, input_signature=[pixels])
    tf.saved_model.save(module, folder, {TILE: traced.get_concrete_function()})
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[TILE])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        converted: bytes = converter.convert()
    except Exception as error:  # noqa: BLE001 - the converter raises whatever it likes
        raise UserError(f"the conversion to TFLite failed: {str(error)[:500]}") from None
    return converted
