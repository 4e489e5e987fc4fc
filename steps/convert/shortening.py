"""Post-training quantisation of a TFLite file: shorter weights, arithmetic in floats.

A phone then downloads less than a third and computes as fast and as exactly as before: the runtime unpacks the weights
once, when it loads the model. ai-edge-quantizer only rounds; `steps.convert.rounding` made sure that this changes
nothing more.
"""

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path

from steps.core.common.errors import UserError
from steps.core.common.files import replacing


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
