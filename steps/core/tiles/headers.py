"""The first bytes of an untrusted PNG, JPEG or WebP: its size, its EXIF data, and who may decode it.

Of text only that which may hold an EXIF orientation is opened, within a limit. Other text and colour profiles say
nothing of the pixels as stored, and a compressed one may be a bomb.
Formats: https://www.w3.org/TR/png-3, ITU-T T.81 annex B, RFC 9649.
"""

import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import ExifTags, Image

FORMATS = ("PNG", "JPEG", "WEBP")
# Each scan of a JPEG is a pass over all pixels, 1 ns for each where the scan is next to empty and up to 9 where it is
# not. Encoders make 10 scans, of CMYK 18. The largest screens of phones have 8 million pixels.
MAX_SCANS = 32
MAX_SCANNED_PIXELS = 200_000_000
# A panorama with its depth map has some hundred; each costs time and next to no bytes.
MAX_SEGMENTS = 1000
# A directory may name the same bytes thousands of times, and Pillow copies them for each.
MAX_EXIF = 64 * 1024

_PNG_START = b"\x89PNG\r\n\x1a\n"
_WORD = struct.Struct(">I")
_IHDR = struct.Struct(">IIBBBBB")
# By PNG colour type: channels, and the bits that each may have.
_COLOUR_TYPES = {0: (1, (1, 2, 4, 8, 16)), 2: (3, (8, 16)), 3: (1, (1, 2, 4, 8)), 4: (2, (8, 16)), 6: (4, (8, 16))}
# What the fast decoder takes: eight bits of RGB and of RGBA.
_TRUE_COLOUR = {(8, 2), (8, 6)}
# Chunks that leave the stored pixels as they are. Not among them: tRNS and those of an animation.
_HARMLESS = {
    *(b"PLTE", b"sBIT", b"bKGD", b"pHYs", b"tIME", b"hIST", b"sPLT", b"sRGB", b"gAMA", b"cHRM", b"iCCP", b"cICP"),
    *(b"tEXt", b"zTXt", b"iTXt", b"eXIf"),
}
# Keywords of text in which Pillow looks for an orientation, and how XMP names it.
_XMP = b"XML:com.adobe.xmp\0"
_TELLING = (_XMP, b"Raw profile type exif\0", b"xmp\0", b"exif\0")
_TURNED = re.compile(rb'tiff:Orientation(?:="|>)[2-8]')
_JPEG_START = b"\xff\xd8\xff"
_APP1, _START_OF_SCAN, _END_OF_IMAGE = 0xE1, 0xDA, 0xD9
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
# Baseline, extended and progressive with Huffman codes. Arithmetic codes cost time without bytes, and no browser reads
# them; the rest is lossless or hierarchical.
_HUFFMAN = (0xC0, 0xC1, 0xC2)
_NEXT_MARKER = re.compile(rb"\xff[^\0\xff]")
_ALONE = {0x01, *range(0xD0, 0xD9)}
# What ends a scan's data: not 0xFF 0x00, not a restart, and nothing that a decoder may skip without its length.
_ENDS_SCAN = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")
# By the bytes that a file begins with, and by the brand of an ISO media file.
_OTHERS = {b"GIF8": "a GIF", b"BM": "a BMP", b"II*\0": "a TIFF", b"MM\0*": "a TIFF", b"PK\3\4": "a zip archive"}
_OTHERS |= {b"%PDF": "a PDF", b"8BPS": "a Photoshop file", b"\xff\x0a": "a JPEG XL", b"\0\0\0\x0cJXL ": "a JPEG XL"}
_BRANDS = dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), "a HEIC photo")
_BRANDS |= dict.fromkeys((b"avif", b"avis"), "an AVIF picture")
# Make and model are no sign of a camera: some phones write them into screenshots.
_CAMERA = frozenset({ExifTags.Base.ExposureTime, ExifTags.Base.FNumber, ExifTags.Base.LensModel})


class ImageRefusedError(ValueError):
    """An image that may not be used; the text says why."""


@dataclass(frozen=True, slots=True)
class ExifFacts:
    """`orientation` is 1 (upright) to 8; `camera` tells that an exposure time, an f-number or a lens is stated."""

    orientation: int = 1
    camera: bool = False

    @classmethod
    def of(cls, tags: Image.Exif) -> "ExifFacts":
        """Take the facts out of parsed EXIF data; the caller silences Pillow's warnings."""
        orientation = tags.get(ExifTags.Base.Orientation, 1)
        try:
            camera = not _CAMERA.isdisjoint(tags.get_ifd(ExifTags.IFD.Exif))
        except MemoryError:
            raise
        # A directory that cannot be read tells of no camera, and must not cost the image whose pixels are sound.
        except Exception:  # noqa: BLE001
            camera = False
        return cls(int(orientation) if orientation in range(1, 9) else 1, camera)


@dataclass(frozen=True, slots=True)
class Header:
    """`width` and `height` as stored, before any EXIF orientation; `alpha` whether a PNG has that channel beside RGB.

    `plain` says that the pixels need nothing but decoding, which a fast decoder then may do; only then `camera` is
    known. `pixels` are the [start, end) of a PNG's IDAT chunks with their framing, `raw_size` the bytes that they must
    inflate to.
    """

    format: str
    width: int
    height: int
    plain: bool = False
    alpha: bool = False
    pixels: tuple[tuple[int, int], ...] = ()
    raw_size: int = 0
    camera: bool = False


def read_header(data: bytes) -> Header:
    """Read the header by the first bytes, whatever the file is called; raises ImageRefusedError."""
    readers = {_PNG_START: _png, _JPEG_START: _jpeg, b"RIFF": _webp}
    try:
        for start, reader in readers.items():
            if data.startswith(start):
                return reader(data)
    except (struct.error, IndexError):
        raise refused(f"the file is cut off after {len(data):,} bytes: get it whole from where it came") from None
    raise refused(f"the file {_other_kind(data)}")


def refused(reason: str) -> ImageRefusedError:
    """Return the error for a file that is none of the formats, or a damaged one."""
    return ImageRefusedError(f"not a readable {', '.join(FORMATS)} image: {reason}")


def _other_kind(data: bytes) -> str:
    """Say what a file is that is none of the formats, and what to do about it."""
    if not data:
        return "is empty"
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    kind = _BRANDS.get(brand) or next((name for start, name in _OTHERS.items() if data.startswith(start)), "")
    return f"is {kind}: save the picture as PNG" if kind else f"begins with {data[:8]!r}"


def _exif(data: bytes) -> ExifFacts:
    """Read EXIF data as Pillow does, of long ones the beginning, where the orientation stands; broken ones say nothing.

    They may have their "Exif" heading or not.
    """
    if not data:
        return ExifFacts()
    tags = Image.Exif()
    try:
        with warnings.catch_warnings():
            # Pillow warns of every tag that is cut off, thousands of times for one file.
            warnings.simplefilter("ignore")
            tags.load(data[:MAX_EXIF])
            return ExifFacts.of(tags)
    except MemoryError:
        raise
    # A parser of hostile bytes raises whatever it likes, and the pixels are sound all the same.
    except Exception:  # noqa: BLE001
        return ExifFacts()


def without_metadata(data: bytes) -> bytes:
    """Return a PNG whose header was read without the chunks that say nothing of its pixels, however large they are."""
    kept = (
        data[start - 8 : end + 4]
        for kind, start, end in _chunks(data)
        if kind not in _HARMLESS
        or kind in (b"PLTE", b"eXIf")
        or (kind in (b"tEXt", b"zTXt", b"iTXt") and data.startswith(_TELLING, start))
    )
    return b"".join([_PNG_START, *kept])


def _png(data: bytes) -> Header:
    chunks = list(_chunks(data))
    kind, start, end = chunks[0]
    if kind != b"IHDR" or end - start != _IHDR.size:
        raise refused(f"its first chunk is {kind!r} of {end - start} bytes instead of IHDR of {_IHDR.size}")
    width, height, depth, colour, compression, filtering, interlaced = _IHDR.unpack_from(data, start)
    channels, depths = _COLOUR_TYPES.get(colour, (0, ()))
    if depth not in depths or compression or filtering or interlaced > 1 or not width or not height:
        raise refused(f"an impossible IHDR {_IHDR.unpack_from(data, start)}")
    kinds = [kind for kind, _, _ in chunks]
    pixels = tuple((start - 8, end + 4) for kind, start, end in chunks if kind == b"IDAT")
    first = kinds.index(b"IDAT") if pixels else 0
    if set(kinds[first : first + len(pixels)]) != {b"IDAT"} or kinds.count(b"IHDR") > 1:
        raise refused("its pixels are not in one run of IDAT chunks after one IHDR")
    # Whatever is not true colour is left to Pillow, and so is what its chunks say.
    fast = (depth, colour) in _TRUE_COLOUR and not interlaced
    said = [_exif_of_chunk(data, *chunk) for chunk in chunks[1:-1] if chunk[0] != b"IDAT"] if fast else [None]
    plain = all(facts is not None and facts.orientation == 1 for facts in said)
    camera = any(facts is not None and facts.camera for facts in said)
    sizes = _passes(width, height) if interlaced else [(width, height)]
    raw_size = sum(rows * (1 + -(-columns * depth * channels // 8)) for columns, rows in sizes if columns)
    return Header("PNG", width, height, plain, colour == 6, pixels, raw_size, camera)  # noqa: PLR2004


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, start, end) of each chunk's data down to IEND, the checksums verified; what follows is ignored."""
    view, at, kind = memoryview(data), len(_PNG_START), b""
    while kind != b"IEND":
        (length,) = _WORD.unpack_from(data, at)
        kind, end = data[at + 4 : at + 8], at + 8 + length
        (checksum,) = _WORD.unpack_from(data, end)
        if zlib.crc32(view[at + 4 : end]) != checksum:
            raise refused(f"chunk {kind!r} at byte {at} is damaged: its checksum is wrong")
        yield kind, at + 8, end
        at = end + 4


def _exif_of_chunk(data: bytes, kind: bytes, start: int, end: int) -> ExifFacts | None:
    """Return what a chunk says by EXIF data; None if it may change what the stored pixels mean, or is unreadable."""
    if kind == b"eXIf":
        return _exif(data[start:end])
    if kind == b"iTXt" and data.startswith(_XMP, start):
        compressed = data[start + len(_XMP) : start + len(_XMP) + 1] != b"\0"
        harmless = not compressed and not _TURNED.search(data, start, end)
    else:
        harmless = kind in _HARMLESS and not data.startswith(_TELLING, start)
    return ExifFacts() if harmless else None


def _passes(width: int, height: int) -> list[tuple[int, int]]:
    """Return (columns, rows) of the seven interlaced pictures."""
    steps = [(0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)]
    return [(len(range(x, width, dx)), len(range(y, height, dy))) for x, dx, y, dy in steps]


def _jpeg(data: bytes) -> Header:
    frame, texts = b"", list[bytes]()
    kind, marker, at, segments = 0, 0, 2, 0
    while marker != _START_OF_SCAN:
        at = _next_marker(data, at)
        marker = data[at]
        at += 1
        segments += 1
        if segments > MAX_SEGMENTS:
            raise refused(f"more than {MAX_SEGMENTS:,} segments before its pixels")
        if marker == _END_OF_IMAGE:
            raise refused("it ends before its pixels")
        if marker in _ALONE:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        segment = data[at + 2 : at + length]
        if marker in _FRAMES:
            frame, kind = segment, marker
        elif marker == _APP1:
            texts.append(segment)
        at += max(length, 2)
    depth, height, width, channels = struct.unpack_from(">BHHB", frame)
    if kind not in _HUFFMAN:
        raise refused(f"a JPEG of kind {kind - 0xC0}; 0 to 2, baseline to progressive with Huffman codes, are wanted")
    _check_scans(data, at, width * height)
    exif = _exif(b"".join(text[6:] for text in texts if text.startswith(b"Exif\0\0")))
    upright = exif.orientation == 1 and not any(_TURNED.search(text) for text in texts)
    plain = depth == 8 and channels in (1, 3) and upright  # noqa: PLR2004
    return Header("JPEG", width, height, plain, camera=exif.camera)


def _check_scans(data: bytes, at: int, pixels: int) -> None:
    """Refuse a JPEG of too many scans; `at` is where the data of its first one begin."""
    most = min(MAX_SCANS, max(1, MAX_SCANNED_PIXELS // max(1, pixels)))
    # No scan escapes this count, but a thumbnail, a second picture or a film behind the picture may add to it.
    if data.count(bytes([0xFF, _START_OF_SCAN])) <= most:
        return
    scans, segments = 1, 0
    while (found := _ENDS_SCAN.search(data, at)) and found[1][0] != _END_OF_IMAGE:
        segments += 1
        scans += found[1][0] == _START_OF_SCAN
        if scans > most:
            raise refused(f"more than {most} scans of {pixels:,} pixels, which is the most for that size")
        if segments > MAX_SEGMENTS:
            raise refused(f"more than {MAX_SEGMENTS:,} segments among its scans")
        at = found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2], "big"))


def _next_marker(data: bytes, at: int) -> int:
    # As libjpeg does: bytes before a marker are skipped, any number of 0xFF fills, and 0xFF 0x00 is no marker.
    found = _NEXT_MARKER.search(data, at)
    if found is None:
        raise IndexError
    return found.end() - 1


def _webp(data: bytes) -> Header:
    kind = data[12:16]
    if data[8:12] == b"WEBP" and kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    elif data[8:12] == b"WEBP" and kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif data[8:12] == b"WEBP" and kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise refused(f"a RIFF file of {data[8:16]!r}")
    return Header("WEBP", width, height)
