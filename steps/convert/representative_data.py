"""The tiles by which 8-bit ranges are set: of calibration screenshots, never of noise."""

from pathlib import Path

import numpy as np

from steps.core.dataset.splits import Split
from steps.network.tile_input import TileSource

FILE_NAME = "representative.npy"
_TILES = 256


def write_representative(source: TileSource, folder: Path, most: int = _TILES) -> Path:
    """Write up to `most` tiles of the calibration split to a .npy file, uint8 [n, size, size, 3], and return its path.

    They are spread evenly over the rows, which lie in the order of the ids, hence of nothing; the same data gives the
    same tiles. Without calibration screenshots there are none, which whoever needs them refuses.
    """
    rows = source.rows(Split.CALIBRATION)
    picked = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64))]
    picked = picked.reset_index(drop=True)
    size = source.spec.tile_size
    tiles = np.zeros((len(picked), size, size, 3), np.uint8)
    if len(picked):
        for at, pixels in source.batches(picked, 64).as_numpy_iterator():
            tiles[at] = pixels
    path = folder / FILE_NAME
    folder.mkdir(parents=True, exist_ok=True)
    np.save(path, tiles)
    return path
