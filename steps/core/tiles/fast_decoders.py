"""The decoders of PNG and JPEG: fast ones for the kinds of files that they decode bit for bit as Pillow does.

A fast decoder gets only files whose header says that nothing but decoding is needed (`Header.plain`), and of a PNG
only the chunks that hold pixels and palette, so that no text or profile can matter to it. Where it fails, Pillow
decides. Of Pillow's checks one is not made on a PNG decoded fast: the Adler-32 of the zlib stream, for whose bytes
the checksums of the chunks have vouched already.
"""

import io
import warnings
import zlib

import cv2
import kornia_rs.io
import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from steps.core.tiles.exif import MAX_EXIF, ExifFacts, facts_of
from steps.core.tiles.headers import FORMATS, Header, ImageRefusedError, without_metadata
from steps.core.tiles.resize import Pixels

_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"
_PNG_HEADER = slice(8, 33)
_BLOCK = 1 << 20


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
    channels = 4 if header.mode == "RGBA" else 3
    return pixels if pixels.shape == (header.height, header.width, channels) else None


def _png(data: bytes, header: Header) -> Pixels:
    if header.mode != "P":
        return _kornia(data, header, header.pixels, header.mode.lower())
    start, end = header.palette
    colours = np.zeros((256, 1, 3), np.uint8)
    colours[: (end - start) // 3, 0] = np.frombuffer(data[start:end], np.uint8).reshape(-1, 3)
    # Of a palette it returns the indices, whatever the mode is called.
    indices = _kornia(data, header, ((start - 8, end + 4), *header.pixels), "mono")
    indices = indices.reshape(header.height, header.width)
    if 3 * int(indices.max()) >= end - start:
        raise ValueError("a pixel beyond the palette")
    return np.asarray(cv2.applyColorMap(indices, colours))


def _kornia(data: bytes, header: Header, chunks: tuple[tuple[int, int], ...], mode: str) -> Pixels:
    view = memoryview(data)
    bare = b"".join([_PNG_START, view[_PNG_HEADER], *(view[start:end] for start, end in chunks), _PNG_END])
    return np.asarray(kornia_rs.io.decode_image_png_u8(bare, (header.height, header.width), mode))


def _jpeg(data: bytes, header: Header) -> Pixels:
    # Without the least sides it decodes at an eighth of the size.
    pixels: Pixels = simplejpeg.decode_jpeg(
        data, "RGB", fastdct=False, fastupsample=False, min_height=header.height, min_width=header.width, min_factor=1
    )
    return pixels


def decode_by_pillow(data: bytes, header: Header) -> tuple[Pixels, str, int, ExifFacts]:
    """Decode to (uint8 RGB [height, width, 3], Pillow's mode, number of frames, what the EXIF data say).

    Raises ImageRefusedError, and MemoryError if the decoding needs more than there is.
    """
    try:
        if header.format == "PNG":
            _check_raw_size(data, header)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bare = without_metadata(data) if header.format == "PNG" else data
            with Image.open(io.BytesIO(bare), formats=FORMATS) as image:
                if image.size != (header.width, header.height):
                    raise ImageRefusedError(f"the picture is {image.width} x {image.height} pixels, its header differs")  # noqa: TRY301
                mode, frames = image.mode, getattr(image, "n_frames", 1)
                image.load()
                upright, exif = _upright(image)
                pixels = np.asarray(_eight_bits(upright).convert("RGB"))
    except (ImageRefusedError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - as above: every failure is a refusal of this one image
        raise ImageRefusedError(f"not a readable {', '.join(FORMATS)} image: {str(error)[:200]}") from None
    return pixels, mode, frames, exif


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
        return ImageOps.exif_transpose(image), facts_of(image.getexif())
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - as above, but of the metadata alone
        return image, ExifFacts()


def _eight_bits(image: Image.Image) -> Image.Image:
    """Take the upper eight bits of 16-bit grey, which Pillow would clip to white."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    return image
