"""What is known of images: looked at once, kept beside their part, read back as it was."""

import hashlib
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.core.dataset.plan import FACTS_FILE, THUMBNAILS_FILE
from steps.core.tiles.decode import MAX_BYTES, ImageFacts
from steps.validate.appearance import APPEARANCE_COLUMNS, appearance_of
from steps.validate.image_facts import (
    Inspection,
    inspect,
    picture_of,
    read_facts,
    read_pictures,
    thumbs_of,
    write_facts,
)
from steps.validate.perceptual_hash import perceptual_hash, thumbnail
from tests.steps.drawn import picture


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path, sha256_file(path)


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    """Two readable images and a broken one, looked at and written; in the order of their inspections."""
    root = tmp_path_factory.mktemp("part")
    files = [save(root / f"{number}.png", picture(number)) for number in range(2)]
    (root / "broken.png").write_bytes(b"no image")
    files.append((root / "broken.png", sha256_file(root / "broken.png")))
    seen = [inspect(file) for file in files]
    write_facts(root / "facts", seen)
    return root / "facts", seen


def test_of_a_good_image_everything_is_known(tmp_path):
    pixels = picture(1, (360, 640))
    path, sha256 = save(tmp_path / "a.png", pixels)
    seen = inspect((path, sha256))
    assert (seen.id, seen.problem, seen.refusal, seen.size) == (sha256, "", "", path.stat().st_size)
    assert seen.facts == ImageFacts(360, 640, "PNG")
    assert seen.appearance == appearance_of(pixels)
    assert seen.thumb == thumbnail(pixels).tobytes()
    assert seen.phash == perceptual_hash(thumbnail(pixels))
    with Image.open(io.BytesIO(seen.picture)) as small:
        assert (small.format, small.size) == ("JPEG", (135, 240))


def test_a_turned_photograph_is_known_as_people_see_it(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    seen = inspect(save(tmp_path / "a.jpg", picture(1, (96, 48)), exif=exif))
    assert (seen.facts.width, seen.facts.height, seen.facts.orientation) == (48, 96, 6)


def test_of_a_broken_image_only_the_refusal_is_known(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    seen = inspect((path, sha256_file(path)))
    assert seen.refusal
    assert seen == Inspection(sha256_file(path), "image", seen.refusal)


def test_a_file_that_is_not_there_is_a_fault_of_the_store_and_no_fact(tmp_path):
    with pytest.raises(UserError, match=r"gone\.png of the batch .* is missing in the store"):
        inspect((tmp_path / "gone.png", "0" * 64))


def test_a_file_of_too_many_bytes_is_not_read(tmp_path):
    with (tmp_path / "large.png").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    seen = inspect((tmp_path / "large.png", "0" * 64))
    assert (seen.problem, seen.refusal) == ("image", f"{MAX_BYTES + 1:,} bytes; {MAX_BYTES:,} is the most")


def test_an_image_of_too_many_pixels_is_refused(tmp_path):
    Image.new("1", (8000, 5001)).save(tmp_path / "large.png")
    seen = inspect((tmp_path / "large.png", sha256_file(tmp_path / "large.png")))
    assert seen.problem == "image"
    assert seen.refusal.startswith("8000 x 5001 pixels; 40,000,000")


def test_a_changed_file_is_told_with_both_checksums(tmp_path):
    path, sha256 = save(tmp_path / "a.png", picture(1))
    path.write_bytes(b"something else")
    now = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(
        UserError, match=f"damaged in the store: its sha256 is {now}, the batch was added with {sha256}"
    ):
        inspect((path, sha256))


@given(st.integers(1, 700), st.integers(1, 700))
def test_a_picture_for_people_is_small_and_keeps_its_shape(width, height):
    with Image.open(io.BytesIO(picture_of(np.full((height, width, 3), 90, np.uint8)))) as small:
        assert max(small.size) == min(240, max(width, height))
        scale = max(small.size) / max(width, height)
        assert small.width == pytest.approx(max(1, width * scale), abs=0.51)
        assert small.height == pytest.approx(max(1, height * scale), abs=0.51)


def test_facts_come_back_as_they_were_written(part):
    folder, seen = part
    facts = read_facts([folder])
    assert list(facts.index) == sorted(one.id for one in seen)
    for one in seen:
        row = facts.loc[one.id]
        assert (row["problem"], row["refusal"], row["bytes"]) == (one.problem, one.refusal, one.size)
        assert (row["width"], row["height"], row["format"]) == (one.facts.width, one.facts.height, one.facts.format)
        assert (int(row["phash"]), row["thumb"]) == (one.phash, one.thumb)
        looks = [getattr(one.appearance, name) if one.appearance else np.nan for name in APPEARANCE_COLUMNS]
        np.testing.assert_allclose(row[list(APPEARANCE_COLUMNS)].to_numpy(np.float64), looks, rtol=1e-6)


@pytest.mark.parametrize("phash", [0, 2**63, 2**64 - 1])
def test_a_hash_keeps_all_of_its_bits(tmp_path, phash):
    write_facts(tmp_path, [Inspection("a" * 64, "", "", phash=phash)])
    facts = read_facts([tmp_path])
    assert facts["phash"].dtype == np.uint64
    assert facts["phash"].tolist() == [phash]


def test_a_part_without_a_readable_image_has_facts_of_the_same_types(tmp_path, part):
    write_facts(tmp_path, [Inspection("a" * 64, "image", "no")])
    alone, together = read_facts([tmp_path]), read_facts([part[0], tmp_path])
    assert alone[list(APPEARANCE_COLUMNS)].isna().all(axis=None)
    pd.testing.assert_series_equal(together.dtypes, read_facts([part[0]]).dtypes)
    assert len(together) == 4


def test_the_same_inspections_make_the_same_bytes_in_any_order(tmp_path, part):
    folder, seen = part
    write_facts(tmp_path, seen[::-1])
    for name in (FACTS_FILE, THUMBNAILS_FILE):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_thumbnails_come_back_as_pixels(part):
    facts = read_facts([part[0]])
    good = facts[facts["problem"] == ""]
    thumbs = thumbs_of(good)
    assert (thumbs.shape, thumbs.dtype) == ((2, 32, 32), np.uint8)
    expected = {hashlib.sha256(thumbnail(picture(number)).tobytes()).digest() for number in range(2)}
    assert {hashlib.sha256(thumb.tobytes()).digest() for thumb in thumbs} == expected
    assert thumbs_of(good.iloc[:0]).shape == (0, 32, 32)


def test_pictures_are_those_that_are_wanted_and_there(part):
    folder, seen = part
    wanted = [seen[0].id, seen[2].id, "f" * 64]
    assert read_pictures([folder, folder], wanted) == {seen[0].id: seen[0].picture}
    assert read_pictures([folder], ["f" * 64]) == {}


def test_no_wanted_picture_opens_no_file(tmp_path):
    assert read_pictures([tmp_path / "nowhere"], []) == {}


def test_a_snapshot_of_no_part_is_one_sentence():
    with pytest.raises(UserError, match="the snapshot holds no image"):
        read_facts([])


def spoil(path, how):
    if how == "gone":
        path.unlink(missing_ok=True)
    elif how == "other table":
        pd.DataFrame({"x": [1]}).to_parquet(path)
    else:
        path.write_bytes({"empty": b"", "cut": b"PAR1", "text": b"nothing" * 9}[how])


@pytest.mark.parametrize("how", ["gone", "empty", "cut", "text", "other table"])
def test_tables_that_cannot_be_read_are_one_sentence(tmp_path, how):
    write_facts(tmp_path, [Inspection("a" * 64, "image", "no")])
    for name, read in ((FACTS_FILE, read_facts), (THUMBNAILS_FILE, lambda folders: read_pictures(folders, ["a" * 64]))):
        spoil(tmp_path / name, how)
        with pytest.raises(UserError, match=rf"{name}: what is known of a part cannot be read .*; plan the run again"):
            read([tmp_path])
