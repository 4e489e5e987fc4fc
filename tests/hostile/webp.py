"""Hostile WebP files: RFC 9649."""

import io
import struct
from collections.abc import Callable, Iterator
from typing import Any

from PIL import Image

from hostile import exif
from hostile.mutant import Mutant, cuts, flips, noise, screenshot, swapped


def encode(channels: int = 3, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(screenshot(channels=channels)).save(file, "WEBP", method=0, **options)
    return file.getvalue()


def animated(count: int = 3) -> bytes:
    frames = [Image.fromarray((screenshot() + 40 * n).astype("uint8")) for n in range(count)]
    file = io.BytesIO()
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], duration=50, lossless=True, method=0)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def riff(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def extended(flags: int, width: int = 48, height: int = 96) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return chunk(b"VP8X", struct.pack("<I", flags) + sides)


def sound() -> Iterator[Mutant]:
    for channels in (3, 4):
        for lossless in (False, True):
            data = encode(channels, lossless=lossless)
            yield Mutant(f"{channels} channels lossless {lossless}", data, "read")
    yield Mutant("animated", animated(), "read")
    yield Mutant("with a profile", encode(icc_profile=noise(200, 1)), "read")
    yield Mutant("data after its end", encode() + noise(500, 1), "read")


def damage() -> Iterator[Mutant]:
    files = {
        "lossy": encode(),
        "lossless": encode(lossless=True),
        "alpha": encode(4),
        "animated": animated(),
    }
    for name, data in files.items():
        yield from cuts(name, data[:-4], 8, "refused" if name != "animated" else "either")
        yield from flips(name, data, 15, "either")
        yield from flips(f"{name} header", data, 8, "either", slice(12, 60))


def containers() -> Iterator[Mutant]:
    lossy = encode()[12:]
    twin = encode()
    for size in (0, 1, 4, 100, 0x7FFFFFFF, 0xFFFFFFFF):
        yield Mutant(f"RIFF of {size} bytes", swapped(twin, 4, struct.pack("<I", size)), "either")
        yield Mutant(f"VP8 of {size} bytes", swapped(twin, 16, struct.pack("<I", size)), "either")
    for width, height in ((16384, 16384), (16_777_216, 1), (16_777_216, 16_777_216), (20_001, 1001), (6325, 6325)):
        yield Mutant(f"canvas {width} x {height}", riff(extended(0, width, height), lossy), "refused")
    for width, height in ((49, 96), (6000, 6000), (1, 1)):
        yield Mutant(f"canvas {width} x {height} of 48 x 96", riff(extended(0, width, height), lossy), "either")
    for width, height in ((16383, 16383), (0, 0), (6400, 6400), (16383, 1)):
        yield Mutant(f"VP8 {width} x {height}", swapped(twin, 26, struct.pack("<HH", width, height)), "refused")
    for flags in (0x02, 0x10, 0x20, 0xFF, 0xFFFFFFFF):
        yield Mutant(f"flags {flags:#x} of nothing", riff(extended(flags), lossy), "either")
    yield Mutant("no picture", riff(extended(0)), "refused")
    yield Mutant("no chunk", riff(), "refused")
    yield Mutant("unknown chunk", riff(extended(0), chunk(b"ABCD", noise(9, 1)), lossy), "either")
    yield Mutant("unknown chunk first", riff(chunk(b"ABCD", noise(9, 1)), lossy), "either")
    yield Mutant("two pictures", riff(extended(0), lossy, lossy), "either")
    yield Mutant("alpha of noise", riff(extended(0x10), chunk(b"ALPH", b"\1" + noise(99, 1)), lossy), "either")
    yield Mutant("a sound file", b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + bytes(28), "refused")
    yield Mutant("50,000 unknown chunks", riff(extended(0), chunk(b"ABCD", b"") * 50_000, lossy), "either")


def animations() -> Iterator[Mutant]:
    lossy = encode()[12:]
    frame = chunk(b"ANMF", bytes(6) + b"\x2f\0\0\x5f\0\0" + b"\x32\0\0\0" + lossy)
    loop = chunk(b"ANIM", bytes(6))
    yield Mutant("1,000 frames", riff(extended(2), loop, frame * 1000), "either")
    yield Mutant("no frames", riff(extended(2), loop), "refused")
    yield Mutant("no ANIM", riff(extended(2), frame), "either")
    yield Mutant("frame of noise", riff(extended(2), loop, chunk(b"ANMF", noise(99, 1))), "refused")
    yield Mutant("frame of 3 bytes", riff(extended(2), loop, chunk(b"ANMF", b"abc")), "refused")
    outside = chunk(b"ANMF", b"\xff\xff\xff\xff\xff\xff\x2f\0\0\x5f\0\0\x32\0\0\0" + lossy)
    yield Mutant("frame outside", riff(extended(2), loop, outside), "refused")
    yield Mutant("canvas larger than the frame", riff(extended(2, 2000, 3000), loop, frame * 2), "either")


def orientations() -> Iterator[Mutant]:
    for name, data, _ in exif.named_orientations():
        yield Mutant(name, encode(exif=data), "read")
    for name, data in exif.bombs():
        file = riff(extended(0x08), encode()[12:], chunk(b"EXIF", data))
        yield Mutant(f"EXIF: {name}", file, "either", encode() if name in exif.REFUSED_BY_PILLOW else None)
    xmp = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    yield Mutant("XMP orientation", riff(extended(0x04), encode()[12:], chunk(b"XMP ", xmp)), "either")


GENERATORS: dict[str, Callable[[], Iterator[Mutant]]] = {
    "webp sound": sound,
    "webp damage": damage,
    "webp containers": containers,
    "webp animations": animations,
    "webp orientations": orientations,
}
