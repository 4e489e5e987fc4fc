"""The very file that ships, run by LiteRT, the runtime of the phone."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from steps.core.common.errors import UserError
from steps.core.tiles.cutting import cut_tiles
from steps.core.tiles.resize import Pixels
from steps.device.contract import TILE
from steps.device.metadata import read_head

if TYPE_CHECKING:
    from steps.network.tile_input import (
        TileSource,
    )  # imports TensorFlow, which a check of golden screenshots does without

Values = npt.NDArray[np.float64]
_BATCH = 64


class LiteModel:
    """A TFLite file with the signature `tile`, and the head that it carries.

    `threads` is what the interpreter may use. `accelerated=False` leaves out XNNPACK: the same operators by another
    implementation, whose results differ as those of another phone may. Raises UserError, which names the file, if it is
    missing, damaged, of another form, or has operators that this runtime does not know. A damaged file is refused, a
    hostile one may crash the interpreter: run only files whose sha256 is known.
    """

    def __init__(self, path: Path, threads: int, *, accelerated: bool = True) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        if not path.is_file():
            raise UserError(f"{path.name} is missing in {path.parent}: run the step that writes it first")
        kernels = OpResolverType.AUTO if accelerated else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            self._interpreter = Interpreter(str(path), num_threads=threads, experimental_op_resolver_type=kernels)
            self._tile = self._interpreter.get_signature_runner(TILE)
            shape = self._tile.get_input_details()["pixels"]["shape"].tolist()
            self.tile_size = int(shape[1])
            # Only now would operators that are not known show.
            self.width = self.tile(np.zeros((self.tile_size, self.tile_size, 3), np.uint8)).shape[0]
        except (ValueError, RuntimeError, KeyError) as error:
            raise UserError(f"{path} is not a model that this LiteRT runs: {str(error).strip()[:300]}") from None
        self.head, self.spec = read_head(path)

    def tile(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """Show one tile, uint8 RGB [size, size, 3], to the model: its features, float32 [D]."""
        return np.asarray(self._tile(pixels=pixels[None])["features"][0], np.float32)

    def describe(self, source: "TileSource", rows: pd.DataFrame) -> npt.NDArray[np.float32]:
        """Show stored tiles, one at a time as the phone does: float32 [tiles, D], in the order of `rows`."""
        features = np.full((len(rows), self.width), np.nan, np.float32)
        for at, pixels in source.batches(rows, _BATCH).as_numpy_iterator():
            features[at] = [self.tile(tile) for tile in pixels]
        return features

    def screenshot(self, pixels: Pixels) -> tuple[float, Values]:
        """Show a decoded screenshot, uint8 RGB [height, width, 3]: its score, 0 to 1, and its evidence, [tiles]."""
        return self.score(cut_tiles(pixels, self.spec))

    def score(self, tiles: Sequence[Pixels]) -> tuple[float, Values]:
        """Show a screenshot's tiles, overview first: its score, 0 to 1, and what each adds to the logit, [tiles]."""
        features = np.stack([self.tile(tile) for tile in tiles])
        index = np.arange(len(tiles))
        screenshot = np.zeros_like(index)
        score = self.head.scores(features, index, screenshot)
        return float(score[0]), self.head.evidence(features, index, screenshot)
