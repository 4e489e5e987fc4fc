"""Post-training quantisation of a TFLite file: weights in 8 bits, arithmetic in floats.

A phone then downloads less than a third and computes as fast and as exactly as before: the runtime unpacks the weights
once, when it loads the model. ai-edge-quantizer only rounds; `steps.network.compression.rounding` made sure that this
changes nothing more.
"""

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path

from steps.core.common.errors import UserError
from steps.core.common.files import replacing

_EVERYWHERE = ".*"


def weights_to_int8(path: Path) -> None:
    """Store the convolutions' weights in 8 bits, a scale a channel, and those of depthwise ones as 16-bit floats.

    Depthwise kernels are a twentieth of the weights: as integers they would save 2 % and cost most of the precision.
    In place. Raises UserError if the file is not a float model.
    """
    from ai_edge_quantizer import quantizer, recipe_manager
    from ai_edge_quantizer.qtyping import TFLOperationName

    recipe = recipe_manager.RecipeManager()
    recipe.add_weight_only_config(_EVERYWHERE, TFLOperationName.CONV_2D, 8)
    recipe.add_weight_only_config(
        _EVERYWHERE,
        TFLOperationName.DEPTHWISE_CONV_2D,
        16,
        algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING,
    )
    try:
        with quiet():
            result = quantizer.Quantizer(path.read_bytes(), recipe.get_quantization_recipe()).quantize()
    except (ValueError, RuntimeError, KeyError) as error:
        raise UserError(f"the weights of {path.name} cannot be stored in 8 bits: {str(error)[:300]}") from None
    if result.quantized_model is None:
        raise UserError(f"{path.name} has no weights to store in 8 bits: convert the float32 model first")
    with replacing(path) as beside:
        beside.write_bytes(bytes(result.quantized_model))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the quantiser's progress bars and warnings out of the log."""
    nowhere = io.StringIO()
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            yield
    finally:
        logging.disable(logging.NOTSET)
