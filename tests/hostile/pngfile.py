"""Building PNG files chunk by chunk: https://www.w3.org/TR/png-3."""

import struct
import zlib

from hostile.mutant import HEIGHT, WIDTH, noise, screenshot

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
KINDS = [
    *((d, 0) for d in (1, 2, 4, 8, 16)),
    *((d, 3) for d in (1, 2, 4, 8)),
    *((d, c) for c in (2, 4, 6) for d in (8, 16)),
]
PASSES = [(0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)]
Chunks = list[tuple[bytes, bytes]]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def join(chunks: Chunks) -> bytes:
    return SIGNATURE + b"".join(chunk(*each) for each in chunks)


def ihdr(width=WIDTH, height=HEIGHT, depth=8, colour=2, *, method=0, filtering=0, interlaced=0) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, method, filtering, interlaced)


def rows(columns: int, count: int, bits: int, seed: object, filters: int = 5) -> bytes:
    """Rows as they stand in the zlib stream; every content is a valid picture, after whichever of the five filters."""
    size = -(-columns * bits // 8)
    return b"".join(bytes([y % filters]) + noise(size, (seed, y)) for y in range(count)) if columns else b""


def raw(depth=8, colour=2, width=WIDTH, height=HEIGHT, *, interlaced=0, filters=5) -> bytes:
    bits = depth * CHANNELS[colour]
    if not interlaced:
        return rows(width, height, bits, 0, filters)
    sizes = [(len(range(x, width, dx)), len(range(y, height, dy))) for x, dx, y, dy in PASSES]
    return b"".join(rows(columns, count, bits, seed, filters) for seed, (columns, count) in enumerate(sizes))


def chunks(depth=8, colour=2, width=WIDTH, height=HEIGHT, *, interlaced=0) -> Chunks:
    palette = [(b"PLTE", noise(3 << depth, "palette"))] if colour == 3 else []
    pixels = zlib.compress(raw(depth, colour, width, height, interlaced=interlaced))
    return [
        ihdr(width, height, depth, colour, interlaced=interlaced),
        *palette,
        (b"IDAT", pixels[: len(pixels) // 2]),
        (b"IDAT", pixels[len(pixels) // 2 :]),
        (b"IEND", b""),
    ]


def drawn(channels: int = 3) -> bytes:
    pixels = screenshot(channels=channels)
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    return join([ihdr(colour=2 if channels == 3 else 6), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")])


def with_extra(*extra: tuple[bytes, bytes], colour: int = 2) -> Chunks:
    """A picture with chunks between IHDR and the rest."""
    head, *rest = chunks(colour=colour)
    return [head, *extra, *rest]


def zeros(megabytes: int) -> bytes:
    """A zlib stream that inflates to so many megabytes of zeros, a thousandth of that in size."""
    size = 1 << 20
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    part = packer.compress(bytes(size)) + packer.flush(zlib.Z_FULL_FLUSH)
    # Adler-32 of n zeros: the first sum stays 1, the second is n modulo 65,521.
    adler = (megabytes * size % 65521) << 16 | 1
    return b"\x78\xda" + part * megabytes + b"\x03\0" + struct.pack(">I", adler)
