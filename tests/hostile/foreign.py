"""Files that are no picture, another kind of picture, or two things at once."""

import io
import zipfile
from collections.abc import Callable, Iterator

from PIL import Image

from hostile import jpeg, pngfile, webp
from hostile.mutant import Mutant, noise, screenshot

STARTS = {
    "png": pngfile.SIGNATURE,
    "png header": pngfile.join([pngfile.ihdr()]),
    "jpeg": b"\xff\xd8\xff",
    "jpeg JFIF": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    "webp": b"RIFF\x24\0\0\0WEBP",
    "webp VP8": b"RIFF\xff\0\0\0WEBPVP8 \xf0\0\0\0",
    "webp VP8L": b"RIFF\xff\0\0\0WEBPVP8L\xf0\0\0\0\x2f",
    "webp VP8X": b"RIFF\xff\0\0\0WEBPVP8X\x0a\0\0\0",
}


def saved(kind: str, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.fromarray(screenshot()).convert(mode).save(file, kind)
    return file.getvalue()


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr(zipfile.ZipInfo("../../evil.sh"), "echo evil")
    return file.getvalue()


def others() -> Iterator[Mutant]:
    """Everything else in a name that ends in .png."""
    for kind in ("GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "PCX", "JPEG2000", "DDS", "EPS", "SGI", "IM"):
        yield Mutant(f"{kind}.png", saved(kind), "refused")
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    for name, data in {
        "SVG": svg,
        "XML with entities": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><svg>&b;</svg>',
        "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + noise(200, 1),
        "AVIF": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + noise(200, 1),
        "PDF": b"%PDF-1.7\n1 0 obj <</OpenAction <</S /JavaScript /JS (app.alert(1))>>>> endobj\n%%EOF\n",
        "ZIP": archive(),
        "ELF": b"\x7fELF\x02\x01\x01" + bytes(200),
        "EXE": b"MZ" + bytes(200),
        "gzip": b"\x1f\x8b\x08" + noise(200, 1),
        "HTML": b"<!DOCTYPE html><html></html>",
        "text": b"I am a picture, honest.",
        "JSON": b'{"source-ref": "s3://bucket/a.png"}',
        "shell script": b"#!/bin/sh\nreboot\n",
        "pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        "MNG": b"\x8aMNG\r\n\x1a\n" + noise(200, 1),
        "JNG": b"\x8bJNG\r\n\x1a\n" + noise(200, 1),
        "git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "PNG with its line ends changed": pngfile.drawn().replace(b"\r\n", b"\n"),
        "PNG as base64": b"iVBORw0KGgoAAAANSUhEUgAAADAAAABg",
        "EPS that runs a command": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch x) (w) file\n",
    }.items():
        yield Mutant(f"{name}.png", data, "refused")


def scraps() -> Iterator[Mutant]:
    """Nothing, next to nothing, and noise behind a valid start."""
    yield Mutant("empty.png", b"", "refused")
    for byte in (0x00, 0x89, 0xFF, 0x52):
        yield Mutant(f"one byte {byte:02X}.png", bytes([byte]), "refused")
    yield Mutant("a megabyte of zeros.png", bytes(1 << 20), "refused")
    for name, start in STARTS.items():
        yield Mutant(f"only {name}.png", start, "refused")
        yield Mutant(f"{name} and a byte.png", start + b"\0", "refused")
        for seed in range(3):
            yield Mutant(f"{name} and noise {seed}.png", start + noise(3000, seed), "refused")
        yield Mutant(f"{name} and zeros.png", start + bytes(3000), "refused")


def polyglots() -> Iterator[Mutant]:
    picture, photo = pngfile.drawn(), jpeg.encode()
    php = (b"tEXt", b"Comment\0<?php system($_GET[0]); ?>")
    yield Mutant("PNG and ZIP.png", picture + archive(), "read")
    yield Mutant("ZIP and PNG.png", archive() + picture, "refused")
    yield Mutant("PNG with PHP.php.png", pngfile.join(pngfile.with_extra(php)), "read")
    yield Mutant("PNG and HTML.png", picture + b"<script>alert(1)</script>", "read")
    yield Mutant("PNG and JPEG.png", picture + photo, "read")
    yield Mutant("JPEG and ZIP.jpg", photo + archive(), "read")
    yield Mutant("JPEG and PNG.jpg", photo + picture, "read")
    yield Mutant("PDF and PNG.png", b"%PDF-1.4\n" + picture, "refused")
    yield Mutant("GIF and JPEG.jpg", saved("GIF") + photo, "refused")
    yield Mutant("WebP and ZIP.webp", webp.encode() + archive(), "read")


def names() -> Iterator[Mutant]:
    """The bytes tell what a file is, its name does not."""
    yield Mutant("a JPEG.png", jpeg.encode(), "read")
    yield Mutant("a WebP.png", webp.encode(), "read")
    yield Mutant("a PNG.jpg", pngfile.drawn(), "read")
    yield Mutant("a PNG.webp", pngfile.drawn(), "read")
    yield Mutant("a PNG.txt", pngfile.drawn(), "read")
    yield Mutant("a PNG.tiff", pngfile.drawn(), "read")
    yield Mutant("a PNG", pngfile.drawn(), "read")
    yield Mutant("a PNG.PNG", pngfile.drawn(), "read")
    yield Mutant("a PNG.png;.sh", pngfile.drawn(), "read")
    yield Mutant("a %s %n $(true) `true` PNG.png", pngfile.drawn(), "read")
    yield Mutant("-rf.png", pngfile.drawn(), "read")
    yield Mutant("ein Bild, 絵 \N{RIGHT-TO-LEFT OVERRIDE}gnp.png", pngfile.drawn(), "read")


GENERATORS: dict[str, Callable[[], Iterator[Mutant]]] = {
    "others": others,
    "scraps": scraps,
    "polyglots": polyglots,
    "names": names,
}
