"""Untrusted images: the same pixels as Pillow's, whoever decodes, and nothing that a hostile file can gain."""

import io
import struct
import sys
import warnings
import zlib

import kornia_rs.io
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

from steps.core.common.worker_pool import map_in_processes
from steps.core.tiles.decode import MAX_BYTES, ImageRefusedError, decode_fast, decode_image, open_image, read_image
from steps.core.tiles.headers import MAX_EXIF, MAX_SCANNED_PIXELS, MAX_SCANS, MAX_SEGMENTS, read_header

FORMATS = ("PNG", "JPEG", "WEBP")
TRANSPARENT = b"\0\1\0\2\0\3"
BOMB = zlib.compress(bytes(30 << 20), 9)


def noise(width=60, height=100, channels=3, seed=0):
    """Blocks of 4 x 4 equal pixels: compressible, and with edges for chroma upsampling to get wrong."""
    small = np.random.default_rng(seed).integers(0, 256, (-(-height // 4), -(-width // 4), channels), dtype=np.uint8)
    return small.repeat(4, axis=0).repeat(4, axis=1)[:height, :width]


PIXELS = noise()
RAW = b"".join(b"\0" + row.tobytes() for row in PIXELS)


def saved(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind, data=b"", checksum=None):
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png(*before, raw=RAW, stream=None, after=b"", end=None, size=(60, 100), header=(8, 2, 0, 0, 0)):
    pixels = chunk(b"IDAT", zlib.compress(raw) if stream is None else stream)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, *header))
    return start + b"".join(before) + pixels + after + (chunk(b"IEND") if end is None else end)


def by_pillow(data):
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def orientation(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def same_as_pillow(data):
    pixels, facts = decode_image(data)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (facts.height, facts.width, 3)
    return np.array_equal(pixels, by_pillow(data))


SIDES = st.integers(1, 90).filter(lambda side: side > 4)


@given(SIDES, SIDES, st.sampled_from([3, 4]), st.integers(0, 9), st.integers(0, 99))
def test_true_colour_pngs_are_decoded_fast_and_as_by_pillow(width, height, channels, level, seed):
    pixels = noise(width, height, channels, seed)
    data = saved(pixels, compress_level=level)
    assert np.array_equal(decode_fast(data, read_header(data)), pixels)
    assert same_as_pillow(data)


@pytest.mark.parametrize("kind", range(5))
def test_every_row_filter_is_decoded_as_by_pillow(kind):
    raw = b"".join(bytes([kind]) + row.tobytes() for row in noise(seed=5))
    assert same_as_pillow(png(raw=raw))


CODING = st.fixed_dictionaries(
    {"quality": st.integers(1, 100), "progressive": st.booleans(), "restart_marker_blocks": st.integers(0, 3)}
)


@given(SIDES, SIDES, st.sampled_from(["4:4:4", "4:2:2", "4:2:0", "4:1:1", "grey"]), CODING, st.integers(0, 99))
def test_jpegs_are_decoded_fast_and_as_by_pillow(width, height, chroma, coding, seed):
    image = Image.fromarray(noise(width, height, 3, seed))
    grey = chroma == "grey"
    data = saved(image.convert("L"), "JPEG", **coding) if grey else saved(image, "JPEG", subsampling=chroma, **coding)
    assert decode_fast(data, read_header(data)) is not None
    assert same_as_pillow(data)


@pytest.mark.parametrize("chroma", ["440", "441"])
def test_rarer_chroma_subsamplings_are_decoded_as_by_pillow(chroma):
    data = bytearray(saved(noise(64, 64), "JPEG", subsampling="4:2:2"))
    # The sampling of the first channel, 2 x 1, is turned to 1 x 2 or made 4 x 1; the data then mean another picture.
    at = data.index(b"\xff\xc0") + 11
    assert data[at] == 0x21
    data[at] = {"440": 0x12, "441": 0x14}[chroma]
    try:
        expected = by_pillow(bytes(data))
    except OSError:
        with pytest.raises(ImageRefusedError):
            decode_image(bytes(data))
        return
    assert np.array_equal(decode_image(bytes(data))[0], expected)


def test_a_jpeg_that_holds_rgb_is_decoded_as_by_pillow():
    assert same_as_pillow(saved(noise(), "JPEG", keep_rgb=True))


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("kind", FORMATS)
def test_the_exif_orientation_is_applied_and_told(kind, value):
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(PIXELS, kind, exif=orientation(value), **options)
    pixels, facts = decode_image(data)
    assert facts.orientation == value
    assert (facts.width, facts.height) == ((60, 100) if value < 5 else (100, 60))
    assert same_as_pillow(data)
    if kind != "JPEG":
        turned = [PIXELS, PIXELS[:, ::-1], PIXELS[::-1, ::-1], PIXELS[::-1]]
        turned += [np.swapaxes(PIXELS, 0, 1), np.rot90(PIXELS, -1), np.swapaxes(PIXELS[::-1, ::-1], 0, 1)]
        assert np.array_equal(pixels, [*turned, np.rot90(PIXELS)][value - 1])


@pytest.mark.parametrize("value", [0, 9, 77])
def test_an_orientation_that_does_not_exist_is_upright(value):
    pixels, facts = decode_image(saved(PIXELS, exif=orientation(value)))
    assert facts.orientation == 1
    assert np.array_equal(pixels, PIXELS)


@pytest.mark.parametrize(
    "text",
    [
        chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<tiff:Orientation>6</tiff:Orientation>")),
        chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 26\n" + orientation(6).tobytes()[6:].hex().encode()),
        chunk(b"tEXt", b"exif\0" + orientation(6).tobytes()),
    ],
)
def test_an_orientation_that_stands_in_text_is_applied_as_by_pillow(text):
    pixels, facts = decode_image(png(text))
    assert facts.orientation == 6
    assert np.array_equal(pixels, np.rot90(PIXELS, -1))


def raw_exif(value, kind=b"zTXt", before=b"\nexif\n 26\n"):
    text = before + orientation(value).tobytes().hex().encode()
    return chunk(kind, b"Raw profile type exif\0" + (b"\0" + zlib.compress(text) if kind == b"zTXt" else text))


@pytest.mark.parametrize("kind", [b"zTXt", b"tEXt"])
@pytest.mark.parametrize("value", [1, 3, 6])
def test_exif_as_image_magick_writes_it_is_applied(kind, value):
    data = png(raw_exif(value, kind))
    pixels, facts = decode_image(data)
    assert facts.orientation == value
    assert np.array_equal(pixels, {1: PIXELS, 3: PIXELS[::-1, ::-1], 6: np.rot90(PIXELS, -1)}[value])


@pytest.mark.parametrize(
    "told",
    [
        raw_exif(1, before=b"\nexif\n 26\nno digits"),
        raw_exif(1, before=b"\nexif\n 26\n00"),
        chunk(b"zTXt", b"Raw profile type exif\0\0no zlib"),
        chunk(b"zTXt", b"Raw profile type exif\0"),
        chunk(b"eXIf", b"nonsense"),
        chunk(b"eXIf", b""),
        chunk(b"eXIf", b"II*\0\x08\0\0\0\xff\xff"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_exif_data_that_cannot_be_read_cost_no_picture(told):
    for data in (png(told), png(chunk(b"tRNS", TRANSPARENT), told)):
        pixels, facts = decode_image(data)
        assert np.array_equal(pixels, PIXELS)
        assert facts.orientation == 1


def test_alpha_is_dropped_not_composited():
    pixels = noise(channels=4)
    pixels[..., 3] = 0
    assert np.array_equal(decode_image(saved(pixels))[0], pixels[..., :3])
    assert open_image(saved(pixels))[0].shape == (100, 60, 4)
    assert np.array_equal(
        decode_image(saved(noise(channels=2), "PNG"))[0], noise(channels=2)[..., :1].repeat(3, axis=2)
    )


@pytest.mark.parametrize("options", [{}, {"transparency": 3}, {"transparency": bytes(range(0, 180, 20))}])
@pytest.mark.parametrize("colours", [2, 4, 16, 200])
def test_a_palette_is_looked_up_and_its_transparency_ignored(colours, options):
    image = Image.fromarray(noise()).quantize(colours)
    assert np.array_equal(decode_image(saved(image, **options))[0], np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [chunk(b"PLTE", bytes(range(30)))],
        [chunk(b"PLTE", bytes(range(31)))],
        [chunk(b"PLTE")],
        [chunk(b"PLTE", bytes(range(30))), chunk(b"PLTE", bytes(768))],
        [chunk(b"PLTE", bytes(range(256)) * 4)],
    ],
)
def test_odd_palettes_are_looked_up_as_by_pillow(chunks):
    raw = b"".join(b"\0" + row.tobytes() for row in PIXELS[..., 0])
    data = png(*chunks, raw=raw, header=(8, 3, 0, 0, 0))
    assert decode_fast(data, read_header(data)) is None
    try:
        expected = by_pillow(data)
    except (OSError, ValueError):
        with pytest.raises(ImageRefusedError):
            decode_image(data)
        return
    assert np.array_equal(decode_image(data)[0], expected)


def test_a_transparent_colour_changes_no_pixel():
    assert np.array_equal(decode_image(png(chunk(b"tRNS", TRANSPARENT)))[0], PIXELS)


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_of_sixteen_bits_the_upper_eight_are_taken(colour, channels):
    deep = np.random.default_rng(1).integers(0, 65536, (100, 60, channels), dtype=np.uint16)
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    pixels, _ = decode_image(png(raw=raw, header=(16, colour, 0, 0, 0)))
    upper = (deep >> 8).astype(np.uint8)
    assert np.array_equal(pixels, upper[..., :3] if channels > 2 else upper[..., :1].repeat(3, axis=2))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_grey_becomes_equal_red_green_and_blue(kind):
    grey = Image.fromarray(PIXELS).convert("L")
    pixels, _ = decode_image(saved(grey, kind))
    if kind != "WEBP":
        assert (pixels == pixels[..., :1]).all()
    assert same_as_pillow(saved(grey, kind))


def test_cmyk_is_converted_without_a_profile():
    ink = noise(channels=4)
    data = saved(Image.fromarray(ink, "CMYK"), "JPEG", quality=100, subsampling=0)
    pixels, _ = decode_image(data)
    with Image.open(io.BytesIO(data)) as image:
        ink = np.asarray(image).astype(float)
    assert np.abs(pixels - (255 - ink[..., :3]) * (255 - ink[..., 3:]) / 255).max() <= 1


@pytest.mark.parametrize(
    "told",
    [
        chunk(b"gAMA", struct.pack(">I", 100_000)),
        chunk(b"sRGB", b"\0"),
        chunk(b"cICP", bytes([9, 16, 0, 1])),
        chunk(b"iCCP", b"wide\0\0" + zlib.compress(bytes(500))),
        chunk(b"PLTE", bytes(30)),
        chunk(b"sBIT", bytes([5, 6, 5])),
        chunk(b"bKGD", TRANSPARENT),
        chunk(b"tEXt", b"Software\0x"),
        chunk(b"unKn", b"x"),
    ],
)
def test_what_a_png_tells_of_its_colours_is_ignored(told):
    data = png(told)
    assert np.array_equal(decode_image(data)[0], PIXELS)
    assert same_as_pillow(data)


def test_a_colour_profile_in_a_jpeg_is_ignored():
    with_profile, without = (saved(PIXELS, "JPEG", icc_profile=profile) for profile in (bytes(3000), None))
    assert np.array_equal(decode_image(with_profile)[0], decode_image(without)[0])


def test_an_interlaced_png_is_read():
    rows = []
    for x, dx, y, dy in [
        (0, 8, 0, 8),
        (4, 8, 0, 8),
        (0, 4, 4, 8),
        (2, 4, 0, 4),
        (0, 2, 2, 4),
        (1, 2, 0, 2),
        (0, 1, 1, 2),
    ]:
        rows += [b"\0" + row.tobytes() for row in PIXELS[y::dy, x::dx]]
    raw = b"".join(rows)
    assert np.array_equal(decode_image(png(raw=raw, header=(8, 2, 0, 0, 1)))[0], PIXELS)
    with pytest.raises(ImageRefusedError, match="cut off"):
        decode_image(png(raw=raw[:-1], header=(8, 2, 0, 0, 1)))


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("PNG", {"default_image": True}), ("WEBP", {"lossless": True}), ("MPO", {})]
)
def test_the_first_picture_of_several_is_taken(kind, options):
    others = [Image.new("RGB", (60, 100), colour) for colour in ("red", "blue")]
    pixels, facts = decode_image(saved(PIXELS, kind, save_all=True, append_images=others, **options))
    assert facts.format == {"MPO": "JPEG"}.get(kind, kind)
    if kind == "MPO":
        assert np.array_equal(pixels, decode_image(saved(PIXELS, "JPEG"))[0])
    else:
        assert np.array_equal(pixels, PIXELS)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        *(
            (saved(PIXELS, kind), f"the file is an? {kind}.*: save the picture as PNG")
            for kind in ("GIF", "BMP", "TIFF")
        ),
        (saved(PIXELS, "AVIF"), "the file is an AVIF picture: save"),
        (b"\0\0\0\x18ftypheic" + bytes(500), "the file is a HEIC photo: save"),
        (b"PK\3\4" + bytes(500), "the file is a zip archive"),
        (saved(PIXELS, "ICO"), "the file begins with"),
        (saved(PIXELS, "PPM"), "the file begins with"),
        (b"", "the file is empty"),
    ],
)
def test_other_formats_are_refused_by_their_names(data, says):
    with pytest.raises(ImageRefusedError, match=f"not a readable PNG, JPEG, WEBP image: {says}"):
        decode_image(data)


def test_bytes_behind_the_end_are_ignored():
    for kind in FORMATS:
        data = saved(PIXELS, kind)
        assert np.array_equal(decode_image(data + b"more" * 50)[0], decode_image(data)[0])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (png(end=b""), "is cut off after"),
        (png(end=chunk(b"IEND", b"", 7)), "b'IEND' at byte .* is damaged"),
        (png()[:-30], "is cut off after"),
        (png(raw=RAW[:-181]), "17,919 bytes instead of 18,100: the image is cut off"),
        (png(chunk(b"tRNS", TRANSPARENT), raw=RAW[:-181]), "cut off"),
        (png(stream=b""), "cut off"),
        (png(stream=zlib.compress(RAW)[:-9]), "cut off"),
        (png(stream=b"no zlib"), "not a readable"),
        (png(raw=b"\7" + RAW[1:]), "not a readable"),
        (png(chunk(b"tEXt", b"a\0b", 7)), "b'tEXt' at byte 33 is damaged"),
        (png(after=chunk(b"tEXt", b"a\0b", 7)), "b'tEXt' at byte .* is damaged"),
        (png(after=chunk(b"tEXt", b"a\0b") + chunk(b"IDAT")), "one run of IDAT"),
        (png(after=chunk(b"IHDR", bytes(13))), "one IHDR"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IEND"), "first chunk"),
        (png(header=(8, 2, 0, 0, 2)), "impossible IHDR"),
        (png(header=(8, 2, 1, 0, 0)), "impossible IHDR"),
        (png(header=(16, 3, 0, 0, 0)), "impossible IHDR"),
        (png(size=(0, 100)), "impossible IHDR"),
        (saved(PIXELS, "JPEG")[:-9], "not a readable"),
        (b"\xff\xd8\xff", "is cut off after"),
        (b"\xff\xd8\xff\xd9", "ends before its pixels"),
        (b"RIFF\0\0\0\0WAVEfmt ", "RIFF"),
        (saved(PIXELS, "WEBP")[:29], "is cut off after"),
        (saved(PIXELS, "WEBP")[:99], "not a readable"),
    ],
)
def test_damaged_files_are_refused_with_the_reason(data, says):
    with pytest.raises(ImageRefusedError, match=says):
        decode_image(data)


def hits(data, places):
    data = bytearray(data)
    for at, value in places:
        data[at % len(data)] = value
    return bytes(data)


SAMPLES = [
    saved(PIXELS),
    saved(noise(channels=4)),
    saved(Image.fromarray(PIXELS).quantize(9)),
    saved(Image.fromarray(PIXELS).quantize(99)),
    saved(PIXELS, "JPEG"),
    saved(PIXELS, "JPEG", quality=40, progressive=True),
    saved(Image.fromarray(PIXELS).convert("L"), "JPEG"),
    saved(PIXELS, "WEBP"),
]


@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), max_size=3),
    st.integers(0, 20_000),
)
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_has_the_pixels_that_pillow_sees_or_is_refused(sample, places, cut):
    data = hits(sample[: len(sample) - cut] if cut < len(sample) else sample, places)
    try:
        pixels, _ = decode_image(data)
    except ImageRefusedError:
        return
    assert np.array_equal(pixels, by_pillow(data))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (png(size=(20_001, 2_000)), "20001 x 2000 pixels; 40,000,000 and sides of 20,000"),
        (png(size=(8_000, 5_001)), "40,000,000"),
        (png(size=(2_100, 100)), "aspect ratio above 20"),
        (saved(PIXELS, "JPEG").replace(struct.pack(">HH", 100, 60), struct.pack(">HH", 7_000, 7_000)), "40,000,000"),
        (b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + b"\xff\xff\0\xff\xff\0", "65536 x 65536"),
        (b"RIFF\0\0\0\0WEBPVP8L" + bytes(4) + b"\x2f\xff\xff\xff\x0f", "16384 x 16384"),
        (b"RIFF\0\0\0\0WEBPVP8 " + bytes(10) + struct.pack("<HH", 16_000, 16_000), "16000 x 16000"),
        (bytes(MAX_BYTES + 1), "67,108,865 bytes; 67,108,864 is the most"),
    ],
)
def test_limits_are_checked_by_the_header_alone(data, says):
    with pytest.raises(ImageRefusedError, match=says):
        decode_image(data)


@pytest.mark.parametrize(
    "text", [chunk(b"zTXt", b"a\0\0" + BOMB), chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB), chunk(b"iCCP", b"a\0\0" + BOMB)]
)
def test_text_that_is_a_bomb_is_never_opened(text):
    assert np.array_equal(decode_image(png(text))[0], PIXELS)
    assert np.array_equal(decode_image(png(chunk(b"tRNS", TRANSPARENT), text))[0], PIXELS)


def test_pixels_beyond_the_picture_are_ignored_as_by_pillow():
    data = png(stream=zlib.compress(RAW + bytes(1 << 20)))
    assert np.array_equal(decode_image(data)[0], PIXELS)
    assert same_as_pillow(data)


@pytest.mark.parametrize(
    "data",
    [
        png(chunk(b"eXIf", b"II*\0" + bytes(MAX_EXIF))),
        png(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 1\n" + b"00" * 2 * MAX_EXIF))),
        saved(PIXELS, "JPEG").replace(b"\xff\xdb", (b"\xff\xe1\xff\xffExif\0\0" + bytes(65_527)) * 2 + b"\xff\xdb", 1),
        saved(PIXELS, "WEBP", exif=b"II*\0" + bytes(MAX_EXIF)),
    ],
)
def test_of_long_exif_data_only_the_beginning_is_read(data):
    pixels, facts = decode_image(data)
    assert (pixels.shape, facts.orientation) == (PIXELS.shape, 1)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_long_exif_still_turns_the_picture(kind):
    exif = orientation(6).tobytes() + bytes(30_000)
    short, long = (saved(PIXELS, kind, exif=exif[:size]) for size in (len(exif) - 30_000, len(exif)))
    assert len(long) > len(short)
    assert decode_image(long)[1].orientation == 6
    assert np.array_equal(decode_image(long)[0], decode_image(short)[0])


@pytest.mark.parametrize("mode", ["L", "LA", "I;16", "P"])
def test_megabytes_of_profile_and_text_are_passed_over_in_every_mode(mode):
    picture = Image.fromarray(PIXELS).convert("L" if mode == "I;16" else mode)
    plain = saved(np.asarray(picture).astype(np.uint16) * 257 if mode == "I;16" else picture, "PNG")
    noise = np.random.default_rng(0).bytes(2 << 20)
    extra = chunk(b"iCCP", b"a\0\0" + zlib.compress(noise)) + chunk(b"tEXt", b"a\0" + b"x" * (3 << 20))
    heavy = plain[:33] + extra + plain[33:]
    assert np.array_equal(decode_image(heavy)[0], decode_image(plain)[0])


PROGRESSIVE = saved(PIXELS, "JPEG", progressive=True)
LAST_SCAN = PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xda") : -2]
COMMENT = b"\xff\xfe\0\x04\xff\xd9"


def jpeg_of(width, height):
    """The header of a progressive JPEG of ten scans that claims this size."""
    return PROGRESSIVE.replace(struct.pack(">HH", 100, 60), struct.pack(">HH", height, width))


def test_scans_of_a_jpeg_have_a_limit():
    most = PROGRESSIVE[:-2] + LAST_SCAN * (MAX_SCANS - 10)
    assert PROGRESSIVE.count(b"\xff\xda") == 10
    assert same_as_pillow(most + b"\xff\xd9")
    with pytest.raises(ImageRefusedError, match="more than 32 scans of 6,000 pixels"):
        decode_image(most + LAST_SCAN + b"\xff\xd9")


def test_the_larger_a_jpeg_the_fewer_scans_it_may_have():
    width = 5000
    height = MAX_SCANNED_PIXELS // 10 // width
    assert read_header(jpeg_of(width, height)).width == width
    with pytest.raises(ImageRefusedError, match="more than 9 scans of 20,005,000 pixels"):
        read_header(jpeg_of(width, height + 1))


def test_one_scan_is_never_too_many():
    data = saved(PIXELS, "JPEG").replace(struct.pack(">HH", 100, 60), struct.pack(">HH", 60_000, 60_000))
    assert read_header(data).height == 60_000


def test_what_looks_like_a_scan_behind_the_picture_is_none():
    for data in (PROGRESSIVE, saved(PIXELS, "JPEG")):
        assert np.array_equal(decode_image(data + LAST_SCAN * MAX_SCANS)[0], decode_image(data)[0])


def test_what_looks_like_the_end_within_a_comment_hides_no_scan():
    with pytest.raises(ImageRefusedError, match="more than 32 scans"):
        decode_image(PROGRESSIVE[:-2] + (COMMENT + LAST_SCAN) * MAX_SCANS + b"\xff\xd9")


def test_the_segments_of_a_jpeg_have_a_limit():
    start, rest = PROGRESSIVE[:2], PROGRESSIVE[2:]
    assert np.array_equal(decode_image(start + COMMENT * 900 + rest)[0], decode_image(PROGRESSIVE)[0])
    for filling in (COMMENT, b"\xff\x01"):
        with pytest.raises(ImageRefusedError, match="more than 1,000 segments before its pixels"):
            decode_image(start + filling * MAX_SEGMENTS + rest)
    with pytest.raises(ImageRefusedError, match="more than 1,000 segments among its scans"):
        decode_image(PROGRESSIVE[:-2] + COMMENT * (MAX_SEGMENTS + 1) + LAST_SCAN * MAX_SCANS + b"\xff\xd9")


@pytest.mark.parametrize("kind", [3, 5, 6, 7, 9, 10, 11, 13, 14, 15])
def test_only_huffman_codes_are_read(kind):
    with pytest.raises(ImageRefusedError, match=f"a JPEG of kind {kind}; 0 to 2, baseline to progressive"):
        decode_image(saved(PIXELS, "JPEG").replace(b"\xff\xc0", bytes([0xFF, 0xC0 + kind])))


EXPOSURE, F_NUMBER, LENS = ExifTags.Base.ExposureTime, ExifTags.Base.FNumber, ExifTags.Base.LensModel


def taken_by(tags, turned=1, make="Maker"):
    exif = orientation(turned)
    exif[ExifTags.Base.Make] = make
    exif.get_ifd(ExifTags.IFD.Exif).update(tags)
    return exif


def with_exif(kind, exif):
    if kind != "raw":
        return saved(PIXELS, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    text = b"\nexif\n 99\n" + exif.tobytes().hex().encode()
    return png(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text)))


@pytest.mark.parametrize("turned", [1, 6])
@pytest.mark.parametrize("kind", [*FORMATS, "raw"])
@pytest.mark.parametrize("tags", [{EXPOSURE: 0.01}, {F_NUMBER: 1.8}, {LENS: "wide"}])
def test_exposure_aperture_or_lens_tell_of_a_camera(kind, tags, turned):
    pixels, facts = decode_image(with_exif(kind, taken_by(tags, turned)))
    assert (facts.camera, facts.orientation) == (True, turned)
    assert pixels.shape == ((100, 60, 3) if turned == 1 else (60, 100, 3))


@pytest.mark.parametrize("turned", [1, 6])
@pytest.mark.parametrize("kind", [*FORMATS, "raw"])
def test_a_maker_and_a_date_tell_of_no_camera(kind, turned):
    tags = {ExifTags.Base.DateTimeOriginal: "2026:01:01 10:00:00", ExifTags.Base.UserComment: b"Screenshot"}
    assert not decode_image(with_exif(kind, taken_by(tags, turned)))[1].camera


@pytest.mark.parametrize("kind", FORMATS)
def test_without_exif_there_is_no_camera(kind):
    assert not decode_image(saved(PIXELS, kind))[1].camera


@pytest.mark.parametrize("turned", [1, 6])
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("target", [8, 0, 1 << 20, 0xFFFFFFFF])
def test_a_directory_that_leads_nowhere_tells_of_no_camera_and_costs_no_image(kind, target, turned):
    entries = struct.pack("<HHIIHHII", 0x0112, 3, 1, turned, ExifTags.IFD.Exif, 4, 1, target)
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + entries + bytes(4)
    _, facts = decode_image(saved(PIXELS, kind, exif=exif))
    assert (facts.camera, facts.orientation) == (False, turned)


def test_thousands_of_cut_off_tags_are_no_thousands_of_warnings():
    entries = b"".join(struct.pack("<HHII", 0x9000 + n, 7, 50_000, 8) for n in range(5000))
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 5000) + entries + bytes(4)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert np.array_equal(decode_image(png(chunk(b"eXIf", exif[6:])))[0], PIXELS)
        assert decode_image(saved(PIXELS, "JPEG", exif=exif))[1].format == "JPEG"
    assert warned == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
@pytest.mark.parametrize(
    ("kind", "options"),
    [("WEBP", {"lossless": True, "method": 0}), ("PNG", {"compress_level": 1}), ("JPEG", {})],
)
def test_too_little_memory_is_no_fault_of_the_file(kind, options, tmp_path):
    path = tmp_path / "turned"
    path.write_bytes(
        saved(Image.new("RGBA" if kind != "JPEG" else "RGB", (3000, 3000)), kind, exif=orientation(6), **options)
    )

    def answer(megabytes):
        ends = map_in_processes(read_image, [path], 1, on_death=lambda _, reason: reason, memory_bytes=megabytes << 20)
        return next(ends)

    little = 140 if kind == "WEBP" else 70
    assert answer(little) == f"it needed more than {little} MiB of memory"
    assert answer(400)[1].orientation == 6


def test_memory_that_runs_out_in_a_fast_decoder_is_told_as_such(monkeypatch):
    def decode(*_):
        raise MemoryError

    monkeypatch.setattr(kornia_rs.io, "decode_image_png_u8", decode)
    with pytest.raises(MemoryError):
        decode_image(png())


def test_where_the_fast_decoder_fails_pillow_decides(monkeypatch):
    class PanicException(BaseException):
        """What a panic of Rust code raises looks like this; its own class cannot be imported."""

    def fail(error):
        def decode(*_):
            raise error

        monkeypatch.setattr(kornia_rs.io, "decode_image_png_u8", decode)
        return decode_image(png())

    for error in (PanicException(), ValueError()):
        assert np.array_equal(fail(error)[0], PIXELS)
    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt())


def test_a_fast_decoder_that_gives_another_shape_is_not_believed(monkeypatch):
    monkeypatch.setattr(kornia_rs.io, "decode_image_png_u8", lambda *_: np.zeros((1, 1, 3), np.uint8))
    assert np.array_equal(decode_image(png())[0], PIXELS)
