"""Cutting an opened screenshot into the model's tiles, and the form in which they are kept."""

import io

from PIL import Image

from steps.core.resize import Pixels, resize_square
from steps.core.spec import PreprocessingSpec
from steps.core.tiles import plan_tiles


def cut_tiles(pixels: Pixels, spec: PreprocessingSpec) -> list[Pixels]:
    """Cut uint8 RGB [height, width, 3] by the tile plan and resize each tile to [tile_size, tile_size, 3]."""
    height, width = pixels.shape[:2]
    return [
        resize_square(pixels[t.top : t.top + t.side, t.left : t.left + t.side], spec.tile_size)
        for t in plan_tiles(width, height)
    ]


def encode_tile(tile: Pixels) -> bytes:
    """Encode a tile as the spec's storage says: JPEG, quality 95, no chroma subsampling."""
    buffer = io.BytesIO()
    Image.fromarray(tile).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
