"""Hostile PNG files."""

import random
import struct
import zlib
from collections.abc import Callable, Iterator

from hostile import exif
from hostile.mutant import HEIGHT, WIDTH, Mutant, cuts, flips, noise, swapped
from hostile.pngfile import CHANNELS, KINDS, SIGNATURE, Chunks, chunk, chunks, drawn, ihdr, join, raw, with_extra, zeros

GIGABYTE = 1024  # in megabytes


def sound() -> Iterator[Mutant]:
    """No mutants: every kind of PNG there is."""
    for depth, colour in KINDS:
        for interlaced in (0, 1):
            data = join(chunks(depth, colour, interlaced=interlaced))
            yield Mutant(f"depth {depth} colour {colour} interlaced {interlaced}", data, "read")
    for side in ((1, 1), (1, 20), (20, 1), (3, 5), (33, 31)):
        for interlaced in (0, 1):
            sized = join(chunks(8, 6, *side, interlaced=interlaced))
            yield Mutant(f"{side[0]} x {side[1]} interlaced {interlaced}", sized, "read")
    for colour, transparent in ((0, 2), (2, 6), (3, 40)):
        head, *rest = chunks(colour=colour)
        at = 1 if colour == 3 else 0
        tagged = [head, *rest[:at], (b"tRNS", bytes(transparent)), *rest[at:]]
        yield Mutant(f"colour {colour} with tRNS", join(tagged), "read")
    yield Mutant("a drawn screen", drawn(), "read")
    yield Mutant("a drawn screen with alpha", drawn(4), "read")
    black = join([ihdr(6000, 6000, 1, 0), (b"IDAT", zlib.compress(bytes(751 * 6000))), (b"IEND", b"")])
    yield Mutant("36 million pixels", black, "read")


def checksums() -> Iterator[Mutant]:
    """One wrong checksum in every type of chunk."""
    extra = {
        b"gAMA": struct.pack(">I", 45455),
        b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
        b"sRGB": b"\0",
        b"iCCP": b"p\0\0" + zlib.compress(b"profile"),
        b"sBIT": b"\x08\x08\x08",
        b"bKGD": bytes(6),
        b"pHYs": struct.pack(">IIB", 2835, 2835, 1),
        b"tIME": struct.pack(">HBBBBB", 2026, 1, 2, 3, 4, 5),
        b"tEXt": b"Comment\0hello",
        b"zTXt": b"Comment\0\0" + zlib.compress(b"hello"),
        b"iTXt": b"Comment\0\0\0\0\0hello",
        b"eXIf": exif.orientation(1),
        b"PLTE": noise(30, 1),
        b"tRNS": bytes(6),
    }
    whole = with_extra(*extra.items())
    yield Mutant("all right", join(whole), "read")
    for number, (kind, data) in enumerate(whole):
        at = len(join(whole[:number])) + 8 + len(data)
        sound = join(whole)
        for bit in (0, 31):
            flipped = swapped(sound, at, struct.pack(">I", zlib.crc32(kind + data) ^ 1 << bit))
            yield Mutant(f"{kind.decode()} {number} bit {bit}", flipped, "refused")


def cut_off() -> Iterator[Mutant]:
    yield from cuts("rgb", join(chunks()), 16, "refused")
    yield from cuts("rgba interlaced", join(chunks(8, 6, interlaced=1)), 10, "refused")
    yield from cuts("palette", join(chunks(4, 3)), 10, "refused")
    whole = join(chunks())
    for less in (1, 4, 8, 11, 12, 13, 16, 20):
        yield Mutant(f"without its last {less} bytes", whole[:-less], "refused")


def sizes() -> Iterator[Mutant]:
    """Headers that promise what the pixels do not hold, and shapes that no screen has."""
    _, *rest = chunks()
    huge = [(65535, 65535), (2**31 - 1, 2**31 - 1), (2**31, 1), (1, 2**31), (2**32 - 1, 2**32 - 1), (46341, 46341)]
    wrong = [(0, 96), (48, 0), (0, 0), (20_000, 20_000), (20_001, 2000), (6325, 6325), (6000, 6000), (49, 96), (48, 97)]
    shapes = [(1, 20_000), (20_000, 1), (1, 21), (21, 1), (10, 201)]
    for width, height in huge + wrong:
        yield Mutant(f"{width} x {height} of 48 x 96", join([ihdr(width, height), *rest]), "refused")
    for width, height in shapes:
        yield Mutant(f"{width} x {height}", join(chunks(8, 2, width, height)), "refused")
    for depth, colour in ((8, 3), (16, 0), (1, 0), (16, 6)):
        _, *rest = chunks(depth, colour)
        for interlaced in (0, 1):
            promise = ihdr(65535, 65535, depth, colour, interlaced=interlaced)
            yield Mutant(f"65535 x 65535 depth {depth} colour {colour} {interlaced}", join([promise, *rest]), "refused")


def bombs() -> Iterator[Mutant]:
    """A gigabyte in a megabyte, wherever a zlib stream may stand."""
    blank = join([ihdr(), (b"IDAT", zlib.compress(bytes(145 * HEIGHT))), (b"IEND", b"")])
    for megabytes in (10, GIGABYTE):
        bomb = zeros(megabytes)
        for interlaced in (0, 1):
            data = join([ihdr(interlaced=interlaced), (b"IDAT", bomb), (b"IEND", b"")])
            yield Mutant(f"IDAT of {megabytes} MB interlaced {interlaced}", data, "either", blank)
        for colour in (2, 3, 6):
            twin = join(chunks(colour=colour))
            for kind, before in TEXTS.items():
                data = join(with_extra((kind, before + bomb), colour=colour))
                yield Mutant(f"{kind.decode()} of {megabytes} MB colour {colour}", data, "either", twin)
    texts = [(b"zTXt", b"Comment\0\0" + zeros(1))] * 200
    yield Mutant("200 texts of 1 MB", join(with_extra(*texts)), "either", join(chunks()))
    texts = [(b"tEXt", b"Comment\0" + noise(20, n)) for n in range(20_000)]
    yield Mutant("20,000 texts", join(with_extra(*texts)), "either", join(chunks()))
    profile = b"Raw profile type exif\0\0" + zeros(100)
    yield Mutant("EXIF as a text of 100 MB", join(with_extra((b"zTXt", profile))), "either", join(chunks()))
    xmp = b"XML:com.adobe.xmp\0\x01\0\0\0" + zeros(100)
    yield Mutant("XMP of 100 MB", join(with_extra((b"iTXt", xmp))), "either", join(chunks()))


TEXTS = {b"zTXt": b"Comment\0\0", b"iTXt": b"Comment\0\x01\0\0\0", b"iCCP": b"profile\0\0"}


def filters() -> Iterator[Mutant]:
    """Rows with a filter that does not exist."""
    for colour in (2, 3, 6):
        line = 1 + WIDTH * CHANNELS[colour]
        head, *palette = [each for each in chunks(colour=colour) if each[0] in (b"IHDR", b"PLTE")]
        for row in (0, HEIGHT // 2, HEIGHT - 1):
            for wrong in (5, 255):
                pixels = zlib.compress(swapped(raw(colour=colour), row * line, bytes([wrong])))
                data = join([head, *palette, (b"IDAT", pixels), (b"IEND", b"")])
                yield Mutant(f"filter {wrong} in row {row} colour {colour}", data, "refused")
    pixels = zlib.compress(b"\x07" + raw(interlaced=1)[1:])
    yield Mutant("filter 7 interlaced", join([ihdr(interlaced=1), (b"IDAT", pixels), (b"IEND", b"")]), "refused")


def order() -> Iterator[Mutant]:
    """Chunks that are missing, doubled, or in the wrong place."""
    head, first, second, end = chunks()
    text = (b"tEXt", b"Comment\0hello")
    twin = join(chunks())
    refused = {
        "IDAT before IHDR": [first, second, head, end],
        "text before IHDR": [text, head, first, second, end],
        "two IHDRs": [head, head, first, second, end],
        "two different IHDRs": [head, ihdr(2000, 2000), first, second, end],
        "IHDR after IDAT": [head, first, second, ihdr(2000, 2000), end],
        "no IHDR": [first, second, end],
        "no IDAT": [head, end],
        "IDAT empty": [head, (b"IDAT", b""), end],
        "no IEND": [head, first, second],
        "IEND before IDAT": [head, end, first, second],
        "text between IDATs": [head, first, text, second, end],
        "IDATs swapped": [head, second, first, end],
        "second IDAT missing": [head, first, end],
        "nothing but IEND": [end],
        "IHDR of 12 bytes": [(b"IHDR", head[1][:12]), first, second, end],
        "IHDR of 14 bytes": [(b"IHDR", head[1] + b"\0"), first, second, end],
        "IHDR empty": [(b"IHDR", b""), first, second, end],
    }
    for name, those in refused.items():
        yield Mutant(name, join(those), "refused")
    yield Mutant("data after IEND", twin + noise(1000, 1), "read")
    yield Mutant("another PNG after IEND", twin + drawn(), "read", twin)
    yield Mutant("text after IDAT", join([head, first, second, text, end]), "read")
    yield Mutant("unknown ancillary chunk", join(with_extra((b"abCd", b"?"))), "read")
    yield Mutant("unknown critical chunk", join(with_extra((b"ABCD", b"?"))), "either")
    yield Mutant("chunk with no name", join(with_extra((b"\0\0\0\0", b"?"))), "either")
    yield Mutant("Apple's CgBI", SIGNATURE + chunk(b"CgBI", b"\0\0\0\0") + twin[8:], "refused")
    head, palette, first, second, end = chunks(colour=3)
    either = {
        "PLTE after IDAT": [head, first, second, palette, end],
        "no PLTE": [head, first, second, end],
        "two PLTEs": [head, palette, (b"PLTE", noise(30, 2)), first, second, end],
        "PLTE empty": [head, (b"PLTE", b""), first, second, end],
        "PLTE of 5 bytes": [head, (b"PLTE", noise(5, 2)), first, second, end],
        "PLTE of 257 colours": [head, (b"PLTE", noise(771, 2)), first, second, end],
        "indices behind the palette": [head, (b"PLTE", noise(9, 2)), first, second, end],
        "tRNS before PLTE": [head, (b"tRNS", b"\0"), palette, first, second, end],
        "tRNS of 300 bytes": [head, palette, (b"tRNS", bytes(300)), first, second, end],
        "tRNS empty": [head, palette, (b"tRNS", b""), first, second, end],
    }
    for name, those in either.items():
        yield Mutant(name, join(those), "either")
    for size in (0, 1, 5):
        yield Mutant(f"RGB with tRNS of {size}", join(with_extra((b"tRNS", bytes(size)))), "either")


def impossible() -> Iterator[Mutant]:
    """Pairs of colour type and depth that do not exist, and methods that were never defined."""
    _, *rest = chunks()
    for colour in range(8):
        for depth in (0, 1, 3, 4, 8, 16, 32):
            if (depth, colour) not in KINDS:
                yield Mutant(
                    f"depth {depth} colour {colour}", join([ihdr(depth=depth, colour=colour), *rest]), "refused"
                )
    for what in ({"method": 1}, {"filtering": 1}, {"filtering": 64}, {"interlaced": 2}, {"interlaced": 255}):
        yield Mutant(f"{what}".strip("{}"), join([ihdr(**what), *rest]), "refused")


def streams() -> Iterator[Mutant]:
    """Zlib streams that are too short, too long, odd or none."""
    lines, end = raw(), (b"IEND", b"")
    whole = zlib.compress(lines)
    twin = join([ihdr(), (b"IDAT", whole), end])

    def file(*parts: bytes) -> bytes:
        return join([ihdr(), *((b"IDAT", part) for part in parts), end])

    stored = zlib.compressobj(0)
    damaged = zlib.compress(lines[:7000])
    tiny = [whole[at : at + 1] for at in range(10_000)]
    refused = {
        "one byte short": zlib.compress(lines[:-1]),
        "one row short": zlib.compress(lines[: -(1 + 3 * WIDTH)]),
        "one row": zlib.compress(lines[: 1 + 3 * WIDTH]),
        "nothing inflates": zlib.compress(b""),
        "stream cut in half": whole[: len(whole) // 2],
        "noise": noise(5000, "stream"),
        "noise after a zlib header": b"\x78\xda" + noise(5000, "stream"),
        "half noise": whole[:5000] + noise(5000, "stream"),
        "no zlib header": whole[2:],
        "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\3" + whole[2:],
        "wants a dictionary": b"\x78\xf9" + b"\0\0\0\1" + whole[2:],
        "two short streams": damaged + damaged,
        "reserved block type": b"\x78\xda\x07" + whole[3:],
    }
    for name, stream in refused.items():
        yield Mutant(name, file(stream), "refused")
    yield Mutant("one byte long", file(zlib.compress(lines + b"\0")), "either", twin)
    yield Mutant("one row long", file(zlib.compress(lines + lines[: 1 + 3 * WIDTH])), "either", twin)
    yield Mutant("twice as long", file(zlib.compress(lines * 2)), "either", twin)
    yield Mutant("noise behind the stream", file(whole + noise(500, 1)), "either", twin)
    yield Mutant("wrong Adler-32", file(whole[:-4] + b"\0\0\0\0"), "either", twin)
    yield Mutant("no Adler-32", file(whole[:-4]), "either", twin)
    yield Mutant("window of 64 KB", file(b"\x88\x1c" + whole[2:]), "either", twin)
    yield Mutant("stored blocks", file(stored.compress(lines) + stored.flush()), "read", twin)
    yield Mutant("empty IDATs between", file(whole[:9], b"", b"", whole[9:], b""), "read", twin)
    yield Mutant("10,000 IDATs", file(*tiny, whole[10_000:]), "read", twin)
    yield Mutant("200,000 empty IDATs", file(*[b""] * 200_000, whole), "either", twin)


def lengths() -> Iterator[Mutant]:
    """Length fields that lie."""
    whole = with_extra((b"tEXt", b"Comment\0hello"))
    sound = join(whole)
    for number, (kind, data) in enumerate(whole):
        at = len(join(whole[:number]))
        for length in (len(data) + 1, max(len(data), 1) - 1 or 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
            lie = swapped(sound, at, struct.pack(">I", length))
            yield Mutant(f"{kind.decode()} {number} of {length}", lie, "refused")


def animations() -> Iterator[Mutant]:
    """APNG: the first frame is the picture; all else of it is a stranger's."""
    head, first, second, end = chunks()
    pixels = zlib.compress(raw())

    def control(number: int, width=WIDTH, height=HEIGHT, *, x=0, y=0, dispose=0, blend=0) -> tuple[bytes, bytes]:
        return b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, x, y, 1, 10, dispose, blend)

    def frames(count: int) -> tuple[bytes, bytes]:
        return b"acTL", struct.pack(">II", count, 0)

    def frame(number: int, stream: bytes = pixels) -> tuple[bytes, bytes]:
        return b"fdAT", struct.pack(">I", number) + stream

    yield Mutant("two frames", join([head, frames(2), control(0), first, second, control(1), frame(2), end]), "read")
    apart = [head, frames(2), first, second, control(0), frame(1), control(2), frame(3), end]
    yield Mutant("default picture apart", join(apart), "either")
    for count in (0, 1, 5, 2**31, 2**32 - 1):
        yield Mutant(f"{count} frames promised", join([head, frames(count), control(0), first, second, end]), "either")
    for name, those in {
        "frame of no size": [control(1, 0, 0), frame(2)],
        "frame outside": [control(1, x=40, y=90), frame(2)],
        "frame huge": [control(1, 2**31 - 1, 2**31 - 1), frame(2)],
        "frame bomb": [control(1), frame(2, zeros(100))],
        "frame of noise": [control(1), frame(2, noise(500, 1))],
        "frames numbered wrongly": [control(7), frame(3)],
        "fcTL of 3 bytes": [(b"fcTL", b"\0\0\1"), frame(2)],
        "fdAT of 2 bytes": [control(1), (b"fdAT", b"\0\0")],
        "frame without control": [frame(1)],
        "unknown disposal": [control(1, dispose=9, blend=9), frame(2)],
    }.items():
        data = join([head, frames(2), control(0), first, second, *those, end])
        yield Mutant(name, data, "either")
    small = control(0, 8, 8)
    yield Mutant("first frame smaller than the picture", join([head, frames(1), small, first, second, end]), "either")
    yield Mutant("acTL of 3 bytes", join([head, (b"acTL", b"\0\0\1"), first, second, end]), "either")
    many = [each for n in range(3000) for each in (control(2 * n + 1, 1, 1), frame(2 * n + 2, b"x"))]
    yield Mutant("3,000 frames", join([head, frames(3001), control(0), first, second, *many, end]), "either")


def orientations() -> Iterator[Mutant]:
    for name, data, _ in exif.named_orientations():
        yield Mutant(name, join(with_extra((b"eXIf", data))), "read")
    for name, data in exif.bombs():
        twin = join(chunks()) if name in exif.REFUSED_BY_PILLOW else None
        yield Mutant(f"EXIF: {name}", join(with_extra((b"eXIf", data))), "either", twin)
    yield Mutant("two eXIf", join(with_extra(*[(b"eXIf", exif.orientation(n)) for n in (3, 6)])), "either")
    yield Mutant("eXIf after IDAT", join([*chunks()[:-1], (b"eXIf", exif.orientation(6)), (b"IEND", b"")]), "either")
    xmp = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    for name, kind, text in (
        ("XMP orientation", b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
        ("XMP orientation compressed", b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0" + zlib.compress(xmp)),
        ("XMP that never ends", b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"<a " * 300_000),
        ("XMP entities", b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
        ("EXIF as text", b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(_profile(exif.orientation(6)))),
        ("EXIF as broken text", b"tEXt", b"Raw profile type exif\0zz"),
        ("EXIF as text of odd length", b"tEXt", b"Raw profile type exif\0\nexif\n  9\nabc"),
    ):
        # Of an odd length Pillow refuses it, and the picture with it.
        twin = join(chunks()) if name.endswith("odd length") else None
        yield Mutant(name, join(with_extra((kind, text))), "either", twin)


def _profile(data: bytes) -> bytes:
    return b"\nexif\n%8d\n%s\n" % (6 + len(data), (b"Exif\0\0" + data).hex().encode())


def damage() -> Iterator[Mutant]:
    """Bits flipped: a checksum finds one wrong bit wherever it is; repaired checksums let it through."""
    yield from flips("rgb", join(chunks()), 30, "refused")
    yield from flips("palette", join(chunks(4, 3, interlaced=1)), 15, "refused")
    for depth, colour in ((8, 2), (8, 6), (8, 3), (16, 0)):
        yield from _repaired(f"repaired depth {depth} colour {colour}", chunks(depth, colour), 12)
    yield from _repaired("repaired interlaced", chunks(8, 6, interlaced=1), 12)


def _repaired(name: str, those: Chunks, count: int) -> Iterator[Mutant]:
    chosen = random.Random(name)
    for number in range(count):
        index = chosen.randrange(len(those) - 1)
        kind, data = those[index]
        at, bit = chosen.randrange(len(data)), chosen.randrange(8)
        flipped = [*those[:index], (kind, swapped(data, at, bytes([data[at] ^ 1 << bit]))), *those[index + 1 :]]
        yield Mutant(
            f"{name} flip {number} {kind.decode()} at {at}.{bit}", join(flipped), "either", _adler_mended(flipped)
        )


def _adler_mended(those: Chunks) -> bytes | None:
    """The picture with the right Adler-32, which not every decoder verifies; None if its stream does not inflate."""
    stream = b"".join(data for kind, data in those if kind == b"IDAT")
    inflater = zlib.decompressobj(-15)
    try:
        lines = inflater.decompress(stream[2:])
    except zlib.error:
        return None
    others = [each for each in those if each[0] != b"IDAT"]
    return join([*others[:-1], (b"IDAT", zlib.compress(lines)), others[-1]]) if inflater.eof else None


GENERATORS: dict[str, Callable[[], Iterator[Mutant]]] = {
    "png sound": sound,
    "png checksums": checksums,
    "png cut off": cut_off,
    "png sizes": sizes,
    "png bombs": bombs,
    "png filters": filters,
    "png order": order,
    "png impossible headers": impossible,
    "png streams": streams,
    "png lengths": lengths,
    "png animations": animations,
    "png orientations": orientations,
    "png damage": damage,
}
