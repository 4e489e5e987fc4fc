"""From files to tiles: decoding, resizing and storing."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from steps.core.cutting import cut_tiles, encode_tile
from steps.core.errors import UserError
from steps.core.files import replacing
from steps.core.images import ImageRefusedError, decode_image, read_image
from steps.core.resize import halve, resize_square
from steps.core.shards import Record, ShardWriter, read_record
from steps.core.spec import PreprocessingSpec, check_spec


def picture(width=60, height=100, mode="RGB"):
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1"])
def test_every_mode_of_png_becomes_rgb(mode):
    pixels, facts = decode_image(encoded(picture(mode=mode)))
    assert pixels.shape == (100, 60, 3)
    assert pixels.dtype == np.uint8
    assert (facts.width, facts.height, facts.format) == (60, 100, "PNG")


def test_sixteen_bit_grey_keeps_its_brightness():
    grey = np.linspace(0, 65535, 6000).astype(np.uint16).reshape(100, 60)
    pixels, _ = decode_image(encoded(Image.fromarray(grey)))
    assert (pixels == (grey >> 8)[..., None]).all()


def test_the_exif_orientation_is_applied():
    image = picture()
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels, facts = decode_image(encoded(image, "JPEG", exif=exif))
    assert pixels.shape == (60, 100, 3)
    assert (facts.width, facts.height) == (100, 60)


def test_the_format_is_told_by_the_bytes_not_by_the_name(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(picture(), "JPEG"))
    assert read_image(tmp_path / "a.png")[1].format == "JPEG"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a readable"),
        (b"GIF89a" + bytes(50), "not a readable"),
        (encoded(picture())[:-60], "not a readable"),
        (encoded(picture(), "BMP"), "not a readable"),
        (encoded(Image.new("RGB", (2100, 100))), "aspect ratio"),
        (encoded(Image.new("1", (20_001, 2_000))), "are the most"),
        (encoded(Image.new("1", (9_000, 9_000))), "are the most"),
    ],
)
def test_what_is_no_usable_screenshot_is_refused_with_the_reason(data, says):
    with pytest.raises(ImageRefusedError, match=says):
        decode_image(data)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ImageRefusedError, match="cannot be read"):
        read_image(tmp_path / "gone.png")


@given(st.integers(0, 60_000), st.integers(0, 255))
@settings(max_examples=60)
def test_no_changed_byte_crashes_the_decoder(at, value):
    data = bytearray(encoded(picture()))
    data[at % len(data)] = value
    try:
        pixels, _ = decode_image(bytes(data))
    except ImageRefusedError:
        return
    assert pixels.dtype == np.uint8


def test_halving_takes_means_of_two_by_two_half_up_and_leaves_odd_edges_out():
    square = np.array([[0, 1, 9], [1, 0, 9], [9, 9, 9]], np.uint8)[..., None].repeat(3, axis=2)
    assert halve(square).tolist() == [[[1, 1, 1]]]


@given(st.integers(1, 400), st.integers(32, 200), st.integers(0, 255))
def test_a_plain_square_stays_plain_at_any_size(side, size, value):
    resized = resize_square(np.full((side, side, 3), value, np.uint8), size)
    assert resized.shape == (size, size, 3)
    assert (resized == value).all()


def test_exact_halvings_need_no_interpolation():
    square = np.random.default_rng(1).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert (resize_square(square, 32) == halve(halve(square))).all()
    assert (resize_square(square, 128) == square).all()


def test_the_last_step_is_bilinear_with_half_pixel_centres():
    square = np.random.default_rng(2).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    ours = resize_square(square, 80)
    # Pillow's bilinear filter is the same formula where it enlarges.
    theirs = np.asarray(Image.fromarray(square).resize((80, 80), Image.Resampling.BILINEAR))
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


def test_a_screenshot_becomes_its_plan_of_tiles():
    pixels = np.asarray(picture(64, 150))
    tiles = cut_tiles(pixels, PreprocessingSpec(tile_size=64))
    assert [tile.shape for tile in tiles] == [(64, 64, 3)] * 3
    assert (tiles[0] == pixels[:64]).all()
    assert (tiles[2] == pixels[-64:]).all()


def test_a_stored_tile_comes_back_nearly_as_it_was():
    smooth = np.asarray(picture(4, 4).resize((96, 96), Image.Resampling.BICUBIC))
    back, facts = decode_image(encode_tile(smooth))
    assert facts.format == "JPEG"
    assert np.abs(back.astype(int) - smooth.astype(int)).mean() < 2


def test_records_come_back_and_damage_is_found(tmp_path):
    with ShardWriter(tmp_path / "s.tfrecord", "s.tfrecord") as writer:
        records = [writer.append(bytes([n]) * n) for n in range(1, 5)]
    assert [read_record(tmp_path, record) for record in records] == [bytes([n]) * n for n in range(1, 5)]
    data = bytearray((tmp_path / "s.tfrecord").read_bytes())
    data[records[2].offset] ^= 1
    (tmp_path / "s.tfrecord").write_bytes(data)
    with pytest.raises(UserError, match="damaged at byte"):
        read_record(tmp_path, records[2])
    with pytest.raises(UserError, match="damaged"):
        read_record(tmp_path, Record("s.tfrecord", len(data) - 2, 10))


def test_a_spec_is_known_by_its_digest_and_refuses_rules_it_does_not_know(tmp_path):
    spec = PreprocessingSpec(tile_size=96)
    spec.write(tmp_path)
    assert PreprocessingSpec.read(tmp_path) == spec
    assert spec.digest != PreprocessingSpec(tile_size=128).digest
    with pytest.raises(UserError, match="resize"):
        PreprocessingSpec(resize="area")
    with pytest.raises(UserError, match="tile size 8"):
        PreprocessingSpec(tile_size=8)
    with pytest.raises(UserError, match="same settings"):
        check_spec(spec, PreprocessingSpec())
    with pytest.raises(UserError, match="exactly"):
        PreprocessingSpec.from_dict({"tile_size": 96})


def test_a_file_is_whole_or_not_there(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    with pytest.raises(RuntimeError), replacing(target) as beside:  # noqa: PT012
        beside.write_text("half")
        raise RuntimeError
    assert list(target.parent.iterdir()) == []
    with replacing(target) as beside:
        beside.write_text("whole")
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]
