"""From a Keras tile classifier to the bytes a phone runs, and scores from those very bytes."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from steps.core.choices import QUANTIZATIONS
from steps.core.errors import UserError
from steps.tiles import TileSource


def convert(model: Any, quantization: str) -> bytes:
    """Convert to TFLite with built-in operators only; input and output keep the Keras model's shapes and ranges."""
    import tensorflow as tf

    if quantization not in QUANTIZATIONS:
        raise UserError(f"quantization {quantization!r}: one of {', '.join(QUANTIZATIONS)} is wanted")
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantization != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    converted: bytes = converter.convert()
    return converted


class LiteModel:
    """A TFLite tile classifier run by LiteRT, the runtime of the phone."""

    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{path.name} does not run on this LiteRT: {str(error)[:300]}") from None
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def score(self, tile: npt.NDArray[np.uint8]) -> float:
        """Score one tile, uint8 RGB [size, size, 3], as the phone does: one at a time; 0 to 1."""
        self._interpreter.set_tensor(self._input, tile[None].astype(np.float32))
        self._interpreter.invoke()
        return float(self._interpreter.get_tensor(self._output)[0, 0])

    def score_tiles(self, source: TileSource, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Score `rows` in their order: float64 [tiles]."""
        scores = np.full(len(rows), np.nan)
        for at, pixels in source.batches(rows, 64).as_numpy_iterator():
            scores[at] = [self.score(tile) for tile in pixels]
        return scores
