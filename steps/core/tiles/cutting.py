"""The tiles of a screenshot, cut and resized for the model, and the form in which they are stored."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np

from steps.core.tiles.decode import ImageFacts, ImageRefusedError, open_image, read_bytes, without_alpha
from steps.core.tiles.resize import Pixels, halve, resize
from steps.core.tiles.spec import PreprocessingSpec
from steps.core.tiles.tiling import Tile, plan_tiles

_ENCODING = [
    *(cv2.IMWRITE_JPEG_QUALITY, 95),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
]


@dataclass(frozen=True, slots=True)
class CutScreenshot:
    """A screenshot's tiles, encoded, in the order of its plan; `refusal` is "" unless the file does not open.

    `sha256` is that of the file's bytes, "" if nothing was cut.
    """

    plan: tuple[Tile, ...]
    encoded: tuple[bytes, ...]
    refusal: str = ""
    sha256: str = ""


def cut(path: Path, spec: PreprocessingSpec) -> CutScreenshot:
    """Cut the screenshot in a file."""
    try:
        data = read_bytes(path)
        facts, encoded = tiles_of(data, spec)
    except ImageRefusedError as error:
        return CutScreenshot((), (), str(error))
    return CutScreenshot(plan_tiles(facts.width, facts.height), tuple(encoded), sha256=sha256(data).hexdigest())


def tiles_of(data: bytes, spec: PreprocessingSpec) -> tuple[ImageFacts, list[bytes]]:
    """Decode, cut, resize and encode the screenshot of one file; raises ImageRefusedError.

    The same tiles as of `decode_image`, `cut_tiles` and `encode_tile`, faster: alpha goes along until the tiles are
    small.
    """
    pixels, facts = open_image(data)
    return facts, [encode_tile(tile) for tile in cut_tiles(pixels, spec)]


def cut_tiles(pixels: Pixels, spec: PreprocessingSpec) -> list[Pixels]:
    """Cut a screenshot by the tile plan and resize each tile.

    uint8 [height, width, 3 or 4] to uint8 RGB [tile_size, tile_size, 3]; a fourth channel is dropped.
    """
    height, width = pixels.shape[:2]
    tiles = plan_tiles(width, height)
    # They overlap: while all of them begin at even pixels, halving the picture halves every tile of it at once.
    while tiles[-1].width >= 2 * spec.tile_size and all(tile.left % 2 == tile.top % 2 == 0 for tile in tiles):
        pixels = halve(pixels)
        tiles = tuple(Tile(t.left // 2, t.top // 2, t.width // 2, t.height // 2) for t in tiles)
    parts = [pixels[t.top : t.top + t.height, t.left : t.left + t.width] for t in tiles]
    return [without_alpha(resize(part, spec.tile_size)) for part in parts]


def encode_tile(tile: Pixels) -> bytes:
    """Encode uint8 RGB [side, side, 3] as the spec's storage says: JPEG, quality 95, no chroma subsampling.

    The same bytes for the same pixels; OpenCV's encoder makes those that Pillow's makes.
    """
    done, data = cv2.imencode(".jpg", cv2.cvtColor(tile, cv2.COLOR_RGB2BGR), _ENCODING)
    if not done:
        raise RuntimeError(f"a tile of shape {tile.shape} and type {tile.dtype} cannot be encoded")
    return bytes(np.asarray(data).data)
