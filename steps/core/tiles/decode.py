"""The decoder of untrusted images.

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

Fast decoders take the files that they decode bit for bit as Pillow does: true-colour PNG and JPEG whose header says
that nothing but decoding is needed (`Header.plain`), and of a PNG only the chunks that hold pixels, so that no text or
profile can matter. Where they fail, Pillow decides. Of Pillow's checks one is not made on a PNG decoded fast: the
Adler-32 of the zlib stream, for whose bytes the checksums of the chunks have vouched already.
"""

import io
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import kornia_rs.io
import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from steps.core.tiles.headers import (
    FORMATS,
    MAX_EXIF,
    ExifFacts,
    Header,
    ImageRefusedError,
    read_header,
    refused,
    without_metadata,
)
from steps.core.tiles.resize import Pixels
from steps.core.tiles.tiling import MAX_SIDE

__all__ = ["FORMATS", "ImageFacts", "ImageRefusedError", "decode_image", "open_image", "read_bytes", "read_image"]

MAX_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 40_000_000
MAX_ASPECT = 20
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"
_PNG_HEADER = slice(8, 33)
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of an image beside its pixels.

    `width` and `height` in pixels after the EXIF orientation is applied; `format` by its bytes; `orientation` that of
    EXIF, 1 (upright) to 8; `camera` whether the EXIF data state an exposure time, an f-number or a lens.
    """

    width: int
    height: int
    format: str
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
        _check_bytes(path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise ImageRefusedError(f"the file cannot be read: {error.strerror or error}") from None


def open_image(data: bytes) -> tuple[Pixels, ImageFacts]:
    """Decode as `decode_image`, but leave alpha, whose removal costs a copy, where the decoder gave it.

    uint8 [height, width, 3] or [height, width, 4]: the first three channels are what `decode_image` returns.
    """
    _check_bytes(len(data))
    header = read_header(data)
    _check_size(header.width, header.height)
    pixels, exif = decode_fast(data, header), ExifFacts(camera=header.camera)
    if pixels is None:
        pixels, exif = _decode_by_pillow(data, header)
    height, width = pixels.shape[:2]
    return pixels, ImageFacts(width, height, header.format, exif.orientation, exif.camera)


def without_alpha(pixels: Pixels) -> Pixels:
    """Return uint8 [height, width, 3] of uint8 [height, width, 3 or 4]."""
    return pixels if pixels.shape[2] == 3 else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB))  # noqa: PLR2004


def _check_bytes(size: int) -> None:
    if size > MAX_BYTES:
        raise ImageRefusedError(f"{size:,} bytes; {MAX_BYTES:,} is the most")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise ImageRefusedError(f"{width} x {height} pixels; {MAX_PIXELS:,} and sides of {MAX_SIDE:,} are the most")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageRefusedError(f"{width} x {height} pixels: an aspect ratio above {MAX_ASPECT} is no screenshot")


def decode_fast(data: bytes, header: Header) -> Pixels | None:
    """Decode to uint8 [height, width, 3], or [height, width, 4] if the PNG has alpha; None leaves it to Pillow."""
    if not header.plain:
        return None
    try:
        pixels = _png(data, header) if header.format == "PNG" else _jpeg(data, header)
    except MemoryError:
        # No verdict on the file: the guard of the workers tells it from others.
        raise
    except Exception:  # noqa: BLE001 - decoders of hostile bytes raise whatever they like
        return None
    except BaseException as error:
        # A panic of Rust code derives from BaseException; its class cannot be imported.
        if type(error).__name__ != "PanicException":
            raise
        return None
    return pixels if pixels.shape == (header.height, header.width, 4 if header.alpha else 3) else None


def _png(data: bytes, header: Header) -> Pixels:
    view = memoryview(data)
    bare = b"".join([_PNG_START, view[_PNG_HEADER], *(view[start:end] for start, end in header.pixels), _PNG_END])
    mode = "rgba" if header.alpha else "rgb"
    return np.asarray(kornia_rs.io.decode_image_png_u8(bare, (header.height, header.width), mode))


def _jpeg(data: bytes, header: Header) -> Pixels:
    # Without the least sides it decodes at an eighth of the size.
    pixels: Pixels = simplejpeg.decode_jpeg(
        data, "RGB", fastdct=False, fastupsample=False, min_height=header.height, min_width=header.width, min_factor=1
    )
    return pixels


def _decode_by_pillow(data: bytes, header: Header) -> tuple[Pixels, ExifFacts]:
    """Decode to uint8 RGB [height, width, 3], turned as the EXIF data say.

    Raises ImageRefusedError, and MemoryError if the decoding needs more than there is.
    """
    try:
        if header.format == "PNG":
            _check_raw_size(data, header)
            data = without_metadata(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.size != (header.width, header.height):
                    raise ImageRefusedError(f"the picture is {image.width} x {image.height} pixels, its header differs")  # noqa: TRY301
                image.load()
                upright, exif = _upright(image)
                return np.asarray(_eight_bits(upright).convert("RGB")), exif
    except (ImageRefusedError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - as above: every failure is a refusal of this one image
        raise refused(str(error)[:200]) from None


def _check_raw_size(data: bytes, header: Header) -> None:
    """Refuse a PNG whose pixels end early: Pillow leaves what is missing black. More than enough is never inflated."""
    inflater, size = zlib.decompressobj(), 0
    for start, end in header.pixels:
        rest = data[start + 8 : end - 4]
        while rest and size < header.raw_size:
            size += len(inflater.decompress(rest, _BLOCK))
            rest = inflater.unconsumed_tail
    while size < header.raw_size and (more := inflater.decompress(b"", _BLOCK)):
        size += len(more)
    if size < header.raw_size:
        raise ImageRefusedError(
            f"its pixels inflate to {size:,} bytes instead of {header.raw_size:,}: the image is cut off"
        )


def _upright(image: Image.Image) -> tuple[Image.Image, ExifFacts]:
    """Turn a decoded picture as its EXIF data say; long ones are read in part, broken ones not at all."""
    for name, most in (("exif", MAX_EXIF), ("Raw profile type exif", 2 * MAX_EXIF)):
        if len(image.info.get(name) or b"") > most:
            image.info[name] = image.info[name][:most]
    try:
        return ImageOps.exif_transpose(image), ExifFacts.of(image.getexif())
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - as above, but of the metadata alone
        return image, ExifFacts()


def _eight_bits(image: Image.Image) -> Image.Image:
    """Take the upper eight bits of 16-bit grey, which Pillow would clip to white."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    return image
