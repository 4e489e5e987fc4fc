"""Hostile JPEG files, made of what Pillow encodes: ITU-T T.81, annex B."""

import io
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from hostile import exif
from hostile.mutant import Mutant, cuts, flips, noise, screenshot, swapped

END = b"\xff\xd9"
FRAMES = (0xC0, 0xC1, 0xC2)
COMMENT, APP1, APP2, ADOBE = 0xFE, 0xE1, 0xE2, 0xEE


def encode(pixels: np.ndarray | None = None, mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(screenshot() if pixels is None else pixels).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def segments(data: bytes) -> list[tuple[int, bytes]]:
    """(marker, what stands behind it up to the next): a scan's data is part of its segment; without SOI and EOI."""
    found, at = [], 2
    while data[at : at + 2] != END:
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:
            while data[end] != 0xFF or data[end + 1] == 0 or 0xD0 <= data[end + 1] <= 0xD7:
                end += 1
        found.append((marker, data[at + 2 : end]))
        at = end
    return found


def join(parts: list[tuple[int, bytes]], end: bytes = END) -> bytes:
    return b"\xff\xd8" + b"".join(bytes([0xFF, marker]) + body for marker, body in parts) + end


def segment(marker: int, body: bytes) -> tuple[int, bytes]:
    return marker, struct.pack(">H", 2 + len(body)) + body


def with_extra(*extra: tuple[int, bytes], data: bytes | None = None) -> bytes:
    head, *rest = segments(data or encode())
    return join([head, *extra, *rest])


def edited(change: Callable[[int, bytes], list[tuple[int, bytes]]], data: bytes | None = None) -> bytes:
    """The file with each segment put through `change`, which returns what stands in its place."""
    return join([new for part in segments(data or encode()) for new in change(*part)])


def frame_of(width: int, height: int) -> Callable[[int, bytes], list[tuple[int, bytes]]]:
    def change(marker: int, body: bytes) -> list[tuple[int, bytes]]:
        return [(marker, swapped(body, 3, struct.pack(">HH", height, width)) if marker in FRAMES else body)]

    return change


def sound() -> Iterator[Mutant]:
    for subsampling in (0, 1, 2):
        for progressive in (False, True):
            data = encode(subsampling=subsampling, progressive=progressive)
            yield Mutant(f"subsampling {subsampling} progressive {progressive}", data, "read")
    for mode in ("L", "CMYK"):
        for progressive in (False, True):
            yield Mutant(f"{mode} progressive {progressive}", encode(mode=mode, progressive=progressive), "read")
    for quality in (1, 50, 100):
        yield Mutant(f"quality {quality}", encode(quality=quality), "read")
    for side in ((1, 1), (20, 1), (1, 20), (17, 33)):
        yield Mutant(f"{side[0]} x {side[1]}", encode(screenshot(*side)), "read")
    yield Mutant("restart markers", encode(restart_marker_blocks=3), "read")
    yield Mutant("optimised", encode(optimize=True), "read")
    yield Mutant("kept as RGB", encode(keep_rgb=True, subsampling=0), "read")


def cut_off() -> Iterator[Mutant]:
    for name, data in (("baseline", encode()), ("progressive", encode(progressive=True)), ("grey", encode(mode="L"))):
        yield from cuts(name, data[:-40], 12, "refused")
        for less in (1, 2, 3, 5, 20):
            yield Mutant(f"{name} without its last {less} bytes", data[:-less], "either")
        yield Mutant(f"{name} half a scan and an end", data[: len(data) - 300] + END, "either")
    header = b"".join(bytes([0xFF, m]) + b for m, b in segments(encode()) if m != 0xDA)
    yield Mutant("no scan", b"\xff\xd8" + header + END, "refused")
    yield Mutant("no scan and no end", b"\xff\xd8" + header, "refused")


def sizes() -> Iterator[Mutant]:
    for name, data in (("baseline", encode()), ("progressive", encode(progressive=True))):
        for width, height in ((65535, 65535), (65500, 600), (0, 96), (0, 0), (6400, 6400), (20_000, 1), (48, 0)):
            yield Mutant(f"{name} {width} x {height} of 48 x 96", edited(frame_of(width, height), data), "refused")
        for width, height in ((48, 97), (2000, 2000), (47, 95), (40, 80)):
            yield Mutant(f"{name} {width} x {height} of 48 x 96", edited(frame_of(width, height), data), "either")


def tables() -> Iterator[Mutant]:
    """Tables and headers that are missing, impossible or contradictory."""

    def only(marker: int, body: bytes) -> Callable[[int, bytes], list[tuple[int, bytes]]]:
        return lambda m, b: [segment(m, body) if m == marker else (m, b)]

    def without(marker: int) -> Callable[[int, bytes], list[tuple[int, bytes]]]:
        return lambda m, b: [] if m == marker else [(m, b)]

    def put(marker: int, at: int, new: bytes) -> Callable[[int, bytes], list[tuple[int, bytes]]]:
        return lambda m, b: [(m, swapped(b, at, new) if m == marker else b)]

    changes = {
        "no Huffman tables": without(0xC4),
        "no quantisation tables": without(0xDB),
        "no frame": without(0xC0),
        "Huffman code of 300 symbols": only(0xC4, b"\0" + b"\xff" * 16 + bytes(300)),
        "Huffman code over-full": only(0xC4, b"\0" + b"\x04" + bytes(15) + b"\1\2\3\4"),
        "Huffman code empty": only(0xC4, bytes(17)),
        "Huffman table 9 of class 9": only(0xC4, b"\x99" + b"\x01" + bytes(15) + b"\0"),
        "Huffman table of 1 byte": only(0xC4, b"\0"),
        "Huffman symbols too large": only(0xC4, b"\0" + b"\0\2" + bytes(14) + b"\xff\xff"),
        "quantisation table 9": only(0xDB, b"\x09" + bytes([1] * 64)),
        "quantisation of zeros": only(0xDB, b"\0" + bytes(64)),
        "quantisation cut off": only(0xDB, b"\0" + bytes(20)),
        "quantisation of 16 bits": only(0xDB, b"\x10" + b"\xff" * 128),
        "12 bits": put(0xC0, 2, b"\x0c"),
        "0 bits": put(0xC0, 2, b"\0"),
        "0 components": put(0xC0, 7, b"\0"),
        "2 components": put(0xC0, 7, b"\x02"),
        "4 components of 3": put(0xC0, 7, b"\x04"),
        "255 components": put(0xC0, 7, b"\xff"),
        "sampling 0 x 0": put(0xC0, 9, b"\0"),
        "sampling 5 x 5": put(0xC0, 9, b"\x55"),
        "sampling 4 x 4": put(0xC0, 9, b"\x44"),
        "sampling 15 x 15": put(0xC0, 9, b"\xff"),
        "same component twice": put(0xC0, 11, b"\x01"),
        "component wants table 3": put(0xC0, 10, b"\x03"),
        "component wants table 200": put(0xC0, 10, b"\xc8"),
        "scan of 0 components": put(0xDA, 2, b"\0"),
        "scan of 4 components": put(0xDA, 2, b"\x04"),
        "scan of a stranger": put(0xDA, 3, b"\x63"),
        "scan wants tables 3": put(0xDA, 4, b"\x33"),
        "scan of coefficients 63 to 0": put(0xDA, 9, b"\x3f\0"),
        "scan of length 0": put(0xDA, 0, b"\0\0"),
        "frame of length 0": put(0xC0, 0, b"\0\0"),
        "frame of length 1": put(0xC0, 0, b"\0\1"),
        "frame of length 65,535": put(0xC0, 0, b"\xff\xff"),
        "table of length 65,535": put(0xDB, 0, b"\xff\xff"),
        "two frames": lambda m, b: [(m, b)] * (2 if m == 0xC0 else 1),
        "two scans": lambda m, b: [(m, b)] * (2 if m == 0xDA else 1),
        "restart interval of 1 without restarts": lambda m, b: (
            ([segment(0xDD, b"\0\1")] if m == 0xDA else []) + [(m, b)]
        ),
        "restart interval of 65,535": lambda m, b: ([segment(0xDD, b"\xff\xff")] if m == 0xDA else []) + [(m, b)],
    }
    for name, change in changes.items():
        yield Mutant(name, edited(change), "either")
    parts = segments(encode())
    yield Mutant("scan before frame", join(parts[::-1]), "either")
    for kind in (0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7):
        data = join([(kind if marker == 0xC0 else marker, body) for marker, body in parts])
        yield Mutant(f"frame of kind {kind:X}", data, "either")


def scans() -> Iterator[Mutant]:
    """Progressive pictures of many scans: each costs a pass over all coefficients and next to no bytes."""
    for side, counts in ((None, (50, 99, 101, 5000)), (1000, (60, 99, 101, 2000)), (5000, (101, 20_000))):
        flat = None if side is None else np.full((side, side, 3), 200, np.uint8)
        data = encode(flat, progressive=True)
        parts = segments(data)
        own = sum(marker == 0xDA for marker, _ in parts)
        for count in counts:
            bomb = join([*parts, *[parts[-1]] * (count - own)])
            expected = "refused" if count > 1000 else "either"
            yield Mutant(f"{count} scans, {side or 'small'}", bomb, expected)


def extras() -> Iterator[Mutant]:
    """What may stand beside the picture."""
    twin = encode()
    html = segment(COMMENT, b"<html><script>alert(1)</script></html>")
    yield Mutant("HTML in a comment", with_extra(html), "read")
    yield Mutant("10,000 comments", with_extra(*[segment(COMMENT, b"")] * 10_000), "either", twin)
    yield Mutant("300 long comments", with_extra(*[segment(COMMENT, bytes(65_000))] * 300), "either", twin)
    yield Mutant("unknown application data", with_extra(segment(0xEF, noise(1000, 1))), "read")
    yield Mutant("a colour profile", with_extra(segment(APP2, b"ICC_PROFILE\0\1\1" + noise(500, 1))), "read")
    yield Mutant("a profile of missing parts", with_extra(segment(APP2, b"ICC_PROFILE\0\5\xff" + noise(9, 1))), "read")
    yield Mutant("a profile of no parts", with_extra(segment(APP2, b"ICC_PROFILE\0")), "either", twin)
    yield Mutant(
        "photoshop data cut off",
        with_extra(segment(0xED, b"Photoshop 3.0\08BIM\x04\x04\0\0\xff\xff\xff\xff")),
        "either",
    )
    yield Mutant(
        "MPF that points anywhere", with_extra(segment(APP2, b"MPF\0" + exif.tags((0xB001, 4, 1, 999)))), "either"
    )
    yield Mutant("MPF of noise", with_extra(segment(APP2, b"MPF\0" + noise(99, 1))), "either")
    for transform in (0, 1, 2, 9):
        adobe = segment(ADOBE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))
        yield Mutant(f"Adobe transform {transform}", with_extra(adobe), "either")
        parts = [part for part in segments(encode(mode="CMYK")) if part[0] != ADOBE]
        yield Mutant(f"CMYK of Adobe transform {transform}", join([parts[0], adobe, *parts[1:]]), "either")
    yield Mutant("data after its end", twin + noise(1000, 1), "read")
    yield Mutant("another JPEG after its end", twin + encode(mode="L"), "read", twin)
    yield Mutant("a PHP program after its end", twin + b"<?php system($_GET[0]); ?>", "read")
    yield Mutant("noise before its start", noise(10, 1) + twin, "refused")
    yield Mutant("two starts", b"\xff\xd8" + twin, "either")
    yield Mutant("1,000 fill bytes", swapped(twin, 0, b"\xff\xd8")[:2] + b"\xff" * 1000 + twin[2:], "either")
    yield Mutant("a megabyte of noise before the frame", twin[:2] + bytes(1 << 20) + twin[2:], "either")


def orientations() -> Iterator[Mutant]:
    for name, data, _ in exif.named_orientations():
        yield Mutant(name, with_extra(segment(APP1, b"Exif\0\0" + data)), "read")
    for name, data in exif.bombs():
        if len(data) < 65_000:
            yield Mutant(f"EXIF: {name}", with_extra(segment(APP1, b"Exif\0\0" + data)), "either")
    many = [segment(APP1, b"Exif\0\0" + exif.orientation(n % 9)) for n in range(2000)]
    yield Mutant("2,000 EXIF segments", with_extra(*many), "either")
    xmp = b'http://ns.adobe.com/xap/1.0/\0<rdf:Description tiff:Orientation="6"/>'
    yield Mutant("XMP orientation", with_extra(segment(APP1, xmp)), "either")


def damage() -> Iterator[Mutant]:
    for name, data in {
        "baseline": encode(),
        "progressive": encode(progressive=True),
        "full chroma": encode(subsampling=0),
        "cmyk": encode(mode="CMYK"),
    }.items():
        yield from flips(name, data, 25, "either")
        scan = data.index(b"\xff\xda")
        yield from flips(f"{name} header", data, 12, "either", slice(2, scan))
        chosen = random.Random(name)
        for number in range(4):
            at = chosen.randrange(scan + 14, len(data) - 60)
            yield Mutant(f"{name} noise {number} at {at}", swapped(data, at, noise(50, at)), "either")


GENERATORS: dict[str, Callable[[], Iterator[Mutant]]] = {
    "jpeg sound": sound,
    "jpeg cut off": cut_off,
    "jpeg sizes": sizes,
    "jpeg tables": tables,
    "jpeg scans": scans,
    "jpeg extras": extras,
    "jpeg orientations": orientations,
    "jpeg damage": damage,
}
