"""EXIF data, as it should be and as it should not."""

import struct
from collections.abc import Iterator

ORIENTATION = 0x0112


def tags(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
    """A little-endian TIFF file of one IFD at byte 8, with entries (tag, type, count, value or offset)."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + struct.pack("<I", following)


def orientation(value: int) -> bytes:
    return tags((ORIENTATION, 3, 1, value))


def bombs() -> Iterator[tuple[str, bytes]]:
    turn = (ORIENTATION, 3, 1, 6)
    yield "IFD that follows itself", tags(turn, following=8)
    yield "EXIF IFD inside itself", tags(turn, (0x8769, 4, 1, 8))
    yield "GPS IFD inside itself", tags(turn, (0x8825, 4, 1, 8))
    yield "IFD behind the end", tags(turn, following=0xFFFFFFF0)
    yield "value behind the end", tags((0x010F, 2, 1000, 0xFFFFFF00), turn)
    yield "four thousand million values", tags((0x010F, 2, 0xFFFFFFFF, 8), turn)
    yield "orientation a text", tags((ORIENTATION, 2, 4, 0x36363636))
    yield "orientation of many values", tags((ORIENTATION, 3, 0x7FFFFFFF, 0))
    yield "orientation a fraction of zeros", tags((ORIENTATION, 5, 1, 8))
    yield "unknown type", tags((ORIENTATION, 99, 1, 6))
    yield "65,535 entries that are not there", b"II*\0\x08\0\0\0\xff\xff"
    yield "no IFD", b"II*\0\0\0\0\0"
    yield "IFD offset behind the end", b"II*\0\xff\xff\xff\xff"
    yield "BigTIFF", b"II+\0\x08\0\0\0" + bytes(16)
    yield "no TIFF", b"XX*\0\x08\0\0\0"
    yield "empty", b""
    yield "one byte", b"I"
    # Every entry claims the whole file: a reader that copies values needs entries times size of memory.
    many = 5000
    yield "each entry claims the whole", tags(*[(0x9000 + n, 7, 12 * many, 8) for n in range(many)])


# Data that Pillow refuses, and with them the picture, where EXIF lies beside the pixels; they say nothing of it.
REFUSED_BY_PILLOW = ("BigTIFF", "no TIFF", "one byte")


def named_orientations() -> Iterator[tuple[str, bytes, bool]]:
    """(name, EXIF data, whether it is in range)."""
    for value in (1, 2, 3, 4, 5, 6, 7, 8):
        yield f"orientation {value}", orientation(value), True
    for value in (0, 9, 255, 65535):
        yield f"orientation {value}", orientation(value), False
    yield "big-endian orientation 6", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0", True
