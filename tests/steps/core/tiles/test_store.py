"""The tile store: parts are named by what is in them, and an index says where each tile of a part lies."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.core.dataset.tables import read_tiles
from steps.core.tiles import store
from steps.core.tiles.cutting import CutScreenshot, cut
from steps.core.tiles.shards import read_record
from steps.core.tiles.spec import PreprocessingSpec, part_key
from steps.core.tiles.store import tiles_of_dataset, write_index, write_part
from tests.steps.drawn import picture

SPEC = PreprocessingSpec(tile_size=32)
UNREADABLE = CutScreenshot((), (), "not a readable image")


@pytest.fixture
def cuts(tmp_path):
    """Five screenshots of two or three tiles each, in the order of their ids."""
    found = []
    for number in range(5):
        path = tmp_path / f"{number}.png"
        Image.fromarray(picture(number, (48, 60 + 20 * number))).save(path)
        found.append((sha256_file(path), cut(path, SPEC)))
    return sorted(found, key=lambda item: item[0])


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(store, "_SCREENSHOTS_PER_SHARD", 2)


def shards_in(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tfrecord"))}


def test_a_part_lies_under_its_spec(cuts):
    assert part_key(SPEC, "p1") == f"{SPEC.digest[:16]}/p1"
    assert part_key(PreprocessingSpec(tile_size=64), "p1") != part_key(SPEC, "p1")


def test_every_tile_is_read_back_from_where_the_index_says(tmp_path, cuts, small_shards):
    index = write_part(tmp_path / "store", "spec/p1", cuts)
    pd.testing.assert_frame_equal(
        read_tiles(tmp_path / "store/spec/p1"),
        index.sort_values(["shard", "record"], kind="stable", ignore_index=True),
    )
    by_id = dict(cuts)
    assert len(index) == sum(len(found.encoded) for found in by_id.values())
    for tile in index.itertuples():
        data = read_record(tmp_path / "store" / tile.shard, tile.offset, tile.length)
        assert data == by_id[tile.id].encoded[tile.index]
        place = by_id[tile.id].plan[tile.index]
        assert (tile.left, tile.top, tile.tile_width, tile.tile_height, tile.count) == (
            *(place.left, place.top, place.width, place.height),
            len(by_id[tile.id].plan),
        )
        assert np.asarray(Image.open(io.BytesIO(data))).shape == (32, 32, 3)


def test_a_shard_is_named_by_its_bytes(tmp_path, cuts, small_shards):
    write_part(tmp_path, "spec/p1", cuts)
    names = shards_in(tmp_path / "spec/p1")
    assert len(names) == 3
    for name in names:
        assert name == f"tiles-{sha256_file(tmp_path / 'spec/p1' / name)[:16]}.tfrecord"
    assert {path.name for path in (tmp_path / "spec/p1").iterdir()} == {*names, "tiles.parquet"}


def test_two_writers_of_the_same_part_leave_what_one_leaves(tmp_path, cuts, small_shards):
    first = write_part(tmp_path / "one", "spec/p1", cuts)
    again = write_part(tmp_path / "one", "spec/p1", iter(cuts))
    elsewhere = write_part(tmp_path / "two", "spec/p1", cuts)
    pd.testing.assert_frame_equal(first, again)
    pd.testing.assert_frame_equal(first, elsewhere)
    assert shards_in(tmp_path / "one/spec/p1") == shards_in(tmp_path / "two/spec/p1")


def test_a_writer_of_other_bytes_replaces_no_shard_of_an_earlier_one(tmp_path, cuts):
    before = write_part(tmp_path, "spec/p1", cuts)
    kept = shards_in(tmp_path / "spec/p1")
    other = write_part(tmp_path, "spec/p1", [(screenshot, cuts[0][1]) for screenshot, _ in cuts])
    assert set(other["shard"]).isdisjoint(before["shard"])
    assert kept.items() < shards_in(tmp_path / "spec/p1").items()


def test_a_screenshot_that_does_not_open_has_no_tiles(tmp_path, cuts, small_shards):
    with_bad = sorted([*cuts, ("0" * 64, UNREADABLE)], key=lambda item: item[0])
    assert set(write_part(tmp_path, "spec/p1", with_bad)["id"]) == {screenshot for screenshot, _ in cuts}


def test_a_part_of_which_nothing_opens_is_an_empty_index(tmp_path):
    index = write_part(tmp_path, "spec/p1", [("0" * 64, UNREADABLE), ("1" * 64, UNREADABLE)])
    assert index.empty
    found = read_tiles(tmp_path / "spec/p1")
    assert found.empty
    assert found["offset"].dtype == "int64"
    assert shards_in(tmp_path / "spec/p1") == {}


def test_a_dataset_takes_whole_shards_and_no_others(tmp_path, cuts, small_shards):
    tiles = write_part(tmp_path, "spec/p1", cuts)
    wanted = pd.DataFrame({"id": [cuts[0][0], cuts[4][0]], "uri": ["b/0.png", "b/4.png"]})
    found = tiles_of_dataset(tiles, wanted)
    assert set(found["id"]) == {cuts[number][0] for number in (0, 1, 4)}
    for _, of_shard in found.groupby("shard"):
        assert of_shard["record"].tolist() == list(range(len(of_shard)))


def test_an_accepted_screenshot_without_tiles_is_one_sentence(tmp_path, cuts):
    tiles = write_part(tmp_path, "spec/p1", cuts)
    dataset = pd.DataFrame({"id": [cuts[0][0], "e" * 64, "f" * 64], "uri": ["b/0.png", "b/5.png", "b/6.png"]})
    with pytest.raises(UserError, match=r"2 accepted screenshots have no tiles, b/5\.png first"):
        tiles_of_dataset(tiles, dataset)


def test_the_list_of_shards_names_each_once_below_the_store(tmp_path, cuts, small_shards):
    tiles = write_part(tmp_path / "store", "spec/p1", cuts)
    write_index(tmp_path / "index", tiles, SPEC, "s3://bucket/tiles/")
    head, *keys = json.loads((tmp_path / "index" / "shards.manifest").read_text())
    assert head == {"prefix": "s3://bucket/tiles/"}
    assert keys == sorted(set(tiles["shard"]))
    assert PreprocessingSpec.read(tmp_path / "index") == SPEC


def test_a_part_that_nobody_wrote_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"tiles\.parquet is missing"):
        read_tiles(tmp_path / "spec/p1")


def test_a_part_whose_index_is_damaged_is_one_sentence(tmp_path, cuts):
    write_part(tmp_path, "spec/p1", cuts)
    (tmp_path / "spec/p1/tiles.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="not a readable Parquet table"):
        read_tiles(tmp_path / "spec/p1")


def test_a_writer_that_fails_leaves_no_index_and_nothing_half_written(tmp_path, cuts):
    broken = [cuts[0], (cuts[1][0], SimpleNamespace(plan=cuts[1][1].plan, encoded=()))]
    with pytest.raises(ValueError, match="zip"):
        write_part(tmp_path, "spec/p1", broken)
    assert list((tmp_path / "spec/p1").iterdir()) == []
