"""Opening an untrusted image.

What the pixels of a file are taken to be (the tests hold each sentence against a real file):
- the EXIF orientation is applied, alpha is dropped as if every pixel were opaque, a palette is looked up and its
  transparency ignored, grey becomes equal red, green and blue;
- of 16 bits a channel the upper eight are taken, of grey and of colour;
- ICC profile, gAMA, sRGB, cHRM and cICP are ignored: the numbers in the file are the pixels. CMYK is converted
  as Pillow does, (255 - ink) (255 - black) / 255 for each channel, without a profile;
- of an animation (APNG, WebP) the first frame is taken, of a file with several JPEG pictures the first.
A file is known by its bytes, never by its name; PNG, JPEG (baseline and progressive, with Huffman codes) and WebP are
read and nothing else. A PNG must be whole: all checksums right, IDAT chunks in one run that hold every row, IEND at the
end. Bytes behind it are ignored, as some editors leave them, and so are, never inflated, compressed bytes behind the
last row. A JPEG has at most 32 scans, fewer if it is large.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np

from steps.core.tiles.fast_decoders import decode_by_pillow, decode_fast
from steps.core.tiles.headers import FORMATS, Header, ImageRefusedError, read_header
from steps.core.tiles.resize import Pixels
from steps.core.tiles.tiling import MAX_SIDE

__all__ = ["FORMATS", "ImageFacts", "ImageRefusedError", "decode_image", "open_image", "read_bytes", "read_image"]

MAX_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 40_000_000
MAX_ASPECT = 20


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of an image beside its pixels.

    `width` and `height` in pixels after the EXIF orientation is applied; `format` by its bytes; `mode` what the file
    holds ("1", "L", "LA", "P", "RGB", "RGBA", and with 16 bits a channel "I;16", "LA;16", "RGB;16", "RGBA;16"; of a
    JPEG "L", "YCbCr", "RGB" or "CMYK"; of a WebP "RGB" or "RGBA"); `frames` 1 for a still picture; `orientation` that
    of EXIF, 1 (upright) to 8; `camera` whether the EXIF data state an exposure time, an f-number or a lens.
    """

    width: int
    height: int
    format: str
    mode: str = ""
    frames: int = 1
    orientation: int = 1
    camera: bool = False


def read_image(path: Path) -> tuple[Pixels, ImageFacts]:
    """Decode an image file to uint8 RGB [height, width, 3], 0 to 255; raises ImageRefusedError.

    The limits on bytes, pixels (40 million), sides (20,000) and aspect ratio (20) are checked before any is decoded.
    """
    return decode_image(read_bytes(path))


def decode_image(data: bytes) -> tuple[Pixels, ImageFacts]:
    """Decode the bytes of an image as `read_image` does."""
    pixels, facts = open_image(data)
    return without_alpha(pixels), facts


def read_bytes(path: Path) -> bytes:
    """Read an image file that is not too large; raises ImageRefusedError."""
    try:
        size = path.stat().st_size
        return path.read_bytes() if size <= MAX_BYTES else _refuse_bytes(size)
    except OSError as error:
        raise ImageRefusedError(f"the file cannot be read: {error.strerror or error}") from None


def open_image(data: bytes) -> tuple[Pixels, ImageFacts]:
    """Decode as `decode_image`, but leave alpha, whose removal costs a copy, where the decoder gave it.

    uint8 [height, width, 3] or [height, width, 4]: the first three channels are what `decode_image` returns.
    """
    if len(data) > MAX_BYTES:
        _refuse_bytes(len(data))
    header = read_header(data)
    _check_size(header)
    pixels = decode_fast(data, header)
    if pixels is not None:
        return pixels, ImageFacts(header.width, header.height, header.format, header.mode, camera=header.camera)
    pixels, mode, frames, exif = decode_by_pillow(data, header)
    height, width = pixels.shape[:2]
    mode = header.mode or mode
    return pixels, ImageFacts(width, height, header.format, mode, frames, exif.orientation, exif.camera)


def without_alpha(pixels: Pixels) -> Pixels:
    """Return uint8 [height, width, 3] of uint8 [height, width, 3 or 4]."""
    return pixels if pixels.shape[2] == 3 else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB))  # noqa: PLR2004


def _refuse_bytes(size: int) -> NoReturn:
    raise ImageRefusedError(f"{size:,} bytes; {MAX_BYTES:,} is the most")


def _check_size(header: Header) -> None:
    width, height = header.width, header.height
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise ImageRefusedError(f"{width} x {height} pixels; {MAX_PIXELS:,} and sides of {MAX_SIDE:,} are the most")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageRefusedError(f"{width} x {height} pixels: an aspect ratio above {MAX_ASPECT} is no screenshot")
