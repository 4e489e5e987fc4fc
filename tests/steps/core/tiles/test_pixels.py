"""From files to tiles: decoding, resizing and storing."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from steps.core.common.errors import UserError
from steps.core.common.files import replacing
from steps.core.tiles.cutting import cut_tiles, encode_tile, tiles_of
from steps.core.tiles.decode import ImageRefusedError, decode_image, read_image
from steps.core.tiles.resize import resize
from steps.core.tiles.shards import append_record, read_record
from steps.core.tiles.spec import PreprocessingSpec, check_spec
from steps.core.tiles.tiling import plan_tiles


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


def test_a_screenshot_becomes_its_plan_of_tiles():
    pixels = np.asarray(picture(64, 150))
    tiles = cut_tiles(pixels, PreprocessingSpec(tile_size=64))
    assert [tile.shape for tile in tiles] == [(64, 64, 3)] * 4
    assert (tiles[1] == pixels[:64]).all()
    assert (tiles[3] == pixels[-64:]).all()


@given(st.integers(1, 700), st.integers(1, 700), st.integers(32, 200), st.sampled_from([3, 4]))
def test_tiles_are_the_resized_parts_of_the_plan(width, height, size, channels):
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, channels), dtype=np.uint8)
    tiles = cut_tiles(pixels, PreprocessingSpec(tile_size=size))
    plan = plan_tiles(width, height)
    assert len(tiles) == len(plan)
    for tile, place in zip(tiles, plan, strict=True):
        part = pixels[place.top : place.top + place.height, place.left : place.left + place.width, :3]
        assert np.array_equal(tile, resize(part.copy(), size))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
@pytest.mark.parametrize("size", [(64, 150), (333, 701), (500, 500), (900, 350)])
def test_the_short_way_from_file_to_tiles_makes_the_same_bytes(mode, size):
    spec = PreprocessingSpec(tile_size=96)
    for data in (encoded(picture(*size, mode)), encoded(picture(*size), "JPEG")):
        pixels, facts = decode_image(data)
        assert tiles_of(data, spec) == (facts, [encode_tile(tile) for tile in cut_tiles(pixels, spec)])


def test_the_short_way_refuses_what_the_decoder_refuses():
    with pytest.raises(ImageRefusedError):
        tiles_of(b"GIF89a", PreprocessingSpec())


@given(st.integers(32, 512), st.integers(0, 99))
def test_a_stored_tile_is_the_jpeg_that_pillow_writes(size, seed):
    small = np.random.default_rng(seed).integers(0, 256, (-(-size // 8), -(-size // 8), 3), dtype=np.uint8)
    tile = small.repeat(8, axis=0).repeat(8, axis=1)[:size, :size]
    by_pillow = encoded(Image.fromarray(tile), "JPEG", quality=95, subsampling=0)
    stored = encode_tile(tile)
    assert stored == encode_tile(tile)
    assert np.array_equal(decode_image(stored)[0], decode_image(by_pillow)[0])


def test_a_stored_tile_comes_back_nearly_as_it_was():
    smooth = np.asarray(picture(4, 4).resize((96, 96), Image.Resampling.BICUBIC))
    back, facts = decode_image(encode_tile(smooth))
    assert facts.format == "JPEG"
    assert np.abs(back.astype(int) - smooth.astype(int)).mean() < 2


def test_records_come_back_and_damage_is_found(tmp_path):
    path, records = tmp_path / "s.tfrecord", [bytes([n]) * n for n in range(1, 5)]
    with path.open("wb") as shard:
        offsets = [append_record(shard, record) for record in records]
    assert [read_record(path, at, len(record)) for at, record in zip(offsets, records, strict=True)] == records
    data = bytearray(path.read_bytes())
    data[offsets[2]] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged at byte"):
        read_record(path, offsets[2], 3)
    with pytest.raises(UserError, match="damaged"):
        read_record(path, len(data) - 2, 10)


def test_a_spec_is_known_by_its_digest_and_refuses_rules_it_does_not_know(tmp_path):
    spec = PreprocessingSpec(tile_size=96)
    spec.write(tmp_path)
    assert PreprocessingSpec.read(tmp_path) == spec
    assert spec.digest != PreprocessingSpec(tile_size=128).digest
    assert spec.resize == "halve-then-bilinear-3"
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
