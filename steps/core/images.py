"""Opening an untrusted image."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from steps.core.resize import Pixels
from steps.core.tiles import MAX_SIDE

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 64_000_000
MAX_ASPECT = 20


class ImageRefusedError(ValueError):
    """An image that may not be used; the text says why."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Size in pixels after the EXIF orientation is applied, and the file format by its bytes."""

    width: int
    height: int
    format: str


def read_image(path: Path) -> tuple[Pixels, ImageFacts]:
    """Decode an image file to uint8 RGB [height, width, 3], 0 to 255.

    The format is told by the bytes, never by the name; limits on bytes and pixels are checked before any pixel is
    decoded. The EXIF orientation is applied, alpha is dropped, of an animation the first frame is taken. Raises
    ImageRefusedError.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ImageRefusedError(f"{size:,} bytes; {MAX_BYTES:,} is the most")
        return decode_image(path.read_bytes())
    except OSError as error:
        raise ImageRefusedError(f"the file cannot be read: {error.strerror or error}") from None


def decode_image(data: bytes) -> tuple[Pixels, ImageFacts]:
    """Decode the bytes of an image as `read_image` does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(image.width, image.height)
                kind = image.format or "?"
                rgb = _eight_bits(ImageOps.exif_transpose(image)).convert("RGB")
                pixels = np.asarray(rgb)
    except ImageRefusedError:
        raise
    # Decoders of hostile bytes raise whatever they like: every failure is a refusal of this one image.
    except Exception as error:  # noqa: BLE001
        raise ImageRefusedError(f"not a readable {', '.join(FORMATS)} image: {str(error)[:200]}") from None
    return pixels, ImageFacts(rgb.width, rgb.height, kind)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise ImageRefusedError(f"{width} x {height} pixels; {MAX_PIXELS:,} and sides of {MAX_SIDE:,} are the most")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageRefusedError(f"{width} x {height} pixels: an aspect ratio above {MAX_ASPECT} is no screenshot")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Take the upper eight bits of 16-bit grey, which Pillow would clip to white; refuse deeper or real-valued grey."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ImageRefusedError(f"pixels of mode {image.mode}: 8 or 16 bits a channel are wanted")
    return image
