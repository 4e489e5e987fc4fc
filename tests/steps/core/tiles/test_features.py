"""Features of tiles: read in the order of the rows, and whatever else lies in a file's place is one sentence."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.common.errors import UserError
from steps.core.tiles.features import (
    features_key,
    read_features,
    write_shard_features,
)
from steps.core.tiles.spec import PreprocessingSpec
from steps.core.tiles.store import write_features_list

SHARD, OTHER = "spec/part/tiles-1.tfrecord", "spec/part/tiles-2.tfrecord"
ROWS = pd.DataFrame({"shard": SHARD, "record": [0, 2]})
VALUES = np.arange(6, dtype=np.float16).reshape(3, 2)


def file_in(folder):
    return folder / SHARD.replace(".tfrecord", ".npy")


def saved(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        np.save(stream, values, allow_pickle=True)


def test_the_key_is_of_the_tiles_the_backbone_and_the_very_weights():
    spec = PreprocessingSpec()
    key = features_key(spec, "small", "a" * 64)
    assert len(key) == 16
    assert int(key, 16)
    others = {
        features_key(PreprocessingSpec(tile_size=96), "small", "a" * 64),
        features_key(spec, "large", "a" * 64),
        features_key(spec, "small", "b" * 64),
    }
    assert len(others | {key}) == 4


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3))))
def test_any_rows_come_back_in_their_order(wanted):
    names = ["spec/a/tiles-1.tfrecord", "spec/a/tiles-2.tfrecord", "spec/b/tiles-1.tfrecord"]
    values = np.arange(24, dtype=np.float16).reshape(3, 4, 2)
    rows = pd.DataFrame(
        {"shard": [names[s] for s, _ in wanted], "record": [r for _, r in wanted]}, index=wanted or None
    )
    with tempfile.TemporaryDirectory() as folder:
        for shard, of_shard in zip(names, values, strict=True):
            write_shard_features(Path(folder), shard, of_shard)
        found = read_features(Path(folder), rows)
    assert found.dtype == np.float16
    assert found.tolist() == [values[s, r].tolist() for s, r in wanted]


def spoil(path, what):
    whole = path.read_bytes()
    shapes = {"one dimension": VALUES[0], "three dimensions": VALUES[None], "no features": VALUES[:, :0]}
    kinds = {"float32": VALUES.astype(np.float32), "objects": VALUES.astype(object), "big-endian": VALUES.astype(">f2")}
    spoilt = VALUES.copy()
    spoilt[2, 1] = np.inf
    arrays = {**shapes, **kinds, "too few records": VALUES[:2], "infinity": spoilt, "no records": VALUES[:0]}
    if what in arrays:
        saved(path, arrays[what])
    elif what == "an archive":
        with path.open("wb") as stream:
            np.savez(stream, VALUES)
    elif what == "gone":
        path.unlink()
    elif what == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes({"empty": b"", "cut short": whole[:-1], "cut in its header": whole[:40]}[what])


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("gone", "is missing: start the run again"),
        *((what, "no array that can be read") for what in ("empty", "cut short", "cut in its header", "an archive")),
        *((what, "no array that can be read") for what in ("a folder", "objects")),
        ("float32", r"float32 \[3, 2\] instead of float16"),
        ("big-endian", "instead of float16"),
        ("one dimension", r"float16 \[2\] instead of"),
        ("three dimensions", r"float16 \[1, 3, 2\] instead of"),
        ("no features", r"float16 \[3, 0\] instead of"),
        ("no records", "0 records"),
        ("too few records", "2 records, and the index of the tiles wants number 2"),
        ("infinity", "values that are not finite"),
    ],
)
def test_a_file_that_holds_something_else_is_named(tmp_path, what, told):
    write_shard_features(tmp_path, SHARD, VALUES)
    spoil(file_in(tmp_path), what)
    with pytest.raises(UserError, match=rf"spec/part/tiles-1\.npy .*{told}"):
        read_features(tmp_path, ROWS)


@given(st.data())
def test_a_file_with_a_changed_header_is_read_or_named(data):
    with tempfile.TemporaryDirectory() as folder:
        write_shard_features(Path(folder), SHARD, VALUES)
        path = file_in(Path(folder))
        changed = bytearray(path.read_bytes())
        for place in data.draw(st.lists(st.integers(0, len(changed) - 1), min_size=1, max_size=4)):
            changed[place] = data.draw(st.sampled_from(b"\0\x01\x7f'(),-0129:LOfu<>{}[ ") | st.integers(0, 255))
        path.write_bytes(changed)
        try:
            found = read_features(Path(folder), ROWS)
        except UserError as error:
            assert "tiles-1.npy" in str(error)  # noqa: PT017
        else:
            assert (found.dtype, len(found)) == (np.float16, 2)


def test_features_of_another_width_than_the_other_shards_are_named(tmp_path):
    write_shard_features(tmp_path, SHARD, VALUES)
    write_shard_features(tmp_path, OTHER, VALUES[:, :1])
    rows = pd.DataFrame({"shard": [OTHER, SHARD], "record": [0, 0]})
    with pytest.raises(UserError, match=r"tiles-2\.npy holds 1 features a tile, and other shards have 2"):
        read_features(tmp_path, rows)


def test_values_that_are_not_finite_are_not_written(tmp_path):
    with pytest.raises(UserError, match="not all finite"):
        write_shard_features(tmp_path, SHARD, np.full((1, 2), np.nan, np.float16))
    assert list(tmp_path.iterdir()) == []


def test_a_list_names_each_shards_file_once_below_the_key(tmp_path):
    write_features_list(tmp_path, pd.DataFrame({"shard": [OTHER, SHARD, SHARD]}), "s3://b/features", "key")
    listed = json.loads((tmp_path / "features.manifest").read_text())
    assert listed == [{"prefix": "s3://b/features/key/"}, "spec/part/tiles-1.npy", "spec/part/tiles-2.npy"]
