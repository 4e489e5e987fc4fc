"""A run's plan: it comes back as it was written, and whatever else lies in its place is one sentence."""

import json
from dataclasses import asdict

import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from steps.core.common.errors import UserError
from steps.core.dataset.plan import DATASETS, FILE_NAME, Plan, Source
from steps.core.dataset.snapshot import Batch, Place, read_place, snapshot_digest, write_listing, write_snapshot

TEXT = st.text(max_size=8)
SOURCES = st.builds(Source, TEXT, st.builds(Place, TEXT, TEXT), TEXT)
PARTS = st.lists(TEXT, max_size=3).map(tuple)
PLANS = st.builds(Plan, SOURCES, PARTS, PARTS, PARTS, TEXT, st.none() | SOURCES, st.none() | SOURCES)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
GOOD = {
    "version": 2,
    **asdict(Plan(Source("s" * 32), ("p1",), ("p2",), ("p3",), "key", previous=Source("t" * 32))),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("plan")


def read(folder, value):
    (folder / FILE_NAME).write_text(json.dumps(value))
    return Plan.read(folder)


@given(PLANS)
def test_a_plan_comes_back_as_it_was_written(folder, plan):
    plan.write(folder)
    assert Plan.read(folder) == plan


@given(JSON)
def test_json_that_is_no_plan_is_one_sentence(folder, value):
    with pytest.raises(UserError, match=r"plan\.json is no plan of this version .*: start the run again"):
        read(folder, value)


@given(st.sampled_from(sorted(GOOD)), st.integers() | st.booleans() | TEXT.filter(bool) | st.lists(st.integers(1)))
def test_a_plan_with_one_value_of_another_kind_is_one_sentence(folder, name, value):
    with_it = GOOD | {name: value}
    assume(with_it != GOOD and not (name in ("cut", "inspect", "describe") and value == []))
    assume(not (name == "features" and isinstance(value, str)))
    with pytest.raises(UserError, match="no plan of this version"):
        read(folder, with_it)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_plan_that_lacks_a_value_is_one_sentence(folder, name):
    with pytest.raises(UserError, match="no plan of this version"):
        read(folder, {key: value for key, value in GOOD.items() if key != name})


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"snapshot": "s", "name": ""},
        {"snapshot": 5, "name": "", "place": {}},
        {"snapshot": "s", "name": None, "place": {}},
        {"snapshot": "s", "name": "", "place": {"labelled": 3}},
        {"snapshot": "s", "name": "", "place": {"elsewhere": "x"}},
        {"snapshot": "s", "name": "", "place": [], "more": 1},
        "snapshot",
    ],
)
@pytest.mark.parametrize("name", ["source", "champion", "previous"])
def test_a_source_that_is_none_is_one_sentence(folder, name, source):
    with pytest.raises(UserError, match="no plan of this version"):
        read(folder, GOOD | {name: source})


def test_the_plan_of_another_version_is_not_read(folder):
    with pytest.raises(UserError, match="version 1 instead of 2"):
        read(folder, GOOD | {"version": 1})


@pytest.mark.parametrize("text", ["", "{", "\0", "[1, 2"])
def test_a_plan_that_is_no_json_names_its_file(folder, text):
    (folder / FILE_NAME).write_text(text)
    with pytest.raises(UserError, match=r"plan\.json is not readable JSON"):
        Plan.read(folder)


def test_no_plan_at_all_names_the_folder(tmp_path):
    with pytest.raises(UserError, match=r"plan\.json is missing in"):
        Plan.read(tmp_path)


def test_a_source_finds_its_batches_below_their_place(tmp_path):
    batch = Batch("b-1", "m.csv", "0" * 64)
    source = Source(snapshot_digest([batch]), Place("here", "there"))
    write_snapshot(tmp_path / DATASETS / source.snapshot, [batch], source.place)
    files = pd.DataFrame([("a.png", "0" * 64, 1)], columns=["path", "sha256", "bytes"])
    write_listing(tmp_path / source.listing_key(batch), files)
    assert source.batches(tmp_path) == [batch]
    assert source.listing(tmp_path, batch)["path"].tolist() == ["a.png"]
    assert (source.listing_key(batch), source.labels_key(batch)) == ("there/b-1.parquet", "here/b-1/m.csv")
    assert source.folder(tmp_path, "b-1") / "a.png" == tmp_path / source.file_key("b-1", "a.png")


@pytest.mark.parametrize("value", [{"labelled": 3}, {"nowhere": "x"}, [], "labelled", 5, None])
def test_a_place_that_is_none_is_one_sentence(tmp_path, value):
    (tmp_path / "place.json").write_text(json.dumps(value))
    with pytest.raises(UserError, match="tells no place of batches"):
        read_place(tmp_path)
