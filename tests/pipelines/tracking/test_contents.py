"""Which files, numbers and names of a step go to MLflow."""

import math
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.tracking.contents import (
    dataset_digest,
    dataset_uris,
    input_uris,
    metric_name,
    numeric_leaves,
    select_files,
)

NAMES = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=30,
)


@given(JSON)
def test_any_json_flattens_to_few_floats_with_names_that_mlflow_takes(value):
    leaves = numeric_leaves(value, limit=10)
    assert len(leaves) <= 10
    for name, number in leaves.items():
        assert isinstance(number, float)
        assert name == metric_name(name)


@given(NAMES)
def test_a_metric_name_is_no_path_that_leaves_its_place(name):
    clean = metric_name(name)
    assert clean
    assert not clean.startswith("/")
    assert ".." not in clean.split("/")
    assert set(clean) - set(string.printable) == {c for c in clean if c.isalnum() and not c.isascii()}


def test_shallow_numbers_come_before_deep_ones_and_lists_are_left_out():
    value = {"deep": {"deeper": {"x": 1}}, "fpr": 0.01, "passed": False, "curve": [1, 2], "note": "n", "none": None}
    assert numeric_leaves(value) == {"fpr": 0.01, "passed": 0.0, "deep/deeper/x": 1.0}
    assert numeric_leaves(value, limit=1) == {"fpr": 0.01}
    assert numeric_leaves(value, depth=1) == {"fpr": 0.01, "passed": 0.0}
    assert math.isnan(numeric_leaves({"x": math.nan})["x"])
    assert numeric_leaves({"x": 10**400}) == {}


@pytest.mark.parametrize(
    ("uri", "digest"),
    [
        ("s3://b/datasets/0123456789abcdef/manifest.jsonl", "0123456789abcdef"),
        ("s3://b/datasets/" + "a" * 64, "a" * 36),
        ("s3://b/datasets/sha256-" + "b" * 64 + "/x", "b" * 36),
        ("s3://b/0123456789ab.jsonl", "0123456789ab"),
    ],
)
def test_a_dataset_is_known_by_the_digest_in_its_uri(uri, digest):
    assert dataset_digest(uri) == digest


def test_a_uri_without_a_digest_is_told_apart_by_itself():
    assert dataset_digest("s3://b/raw") != dataset_digest("s3://b/other")
    assert dataset_digest("s3://b/raw").startswith("uri-")
    assert len(dataset_digest("s3://b/raw")) == 36


def test_dataset_uris_are_found_in_any_spelling():
    values = {"DatasetUri": "s3://a", "dataset-uri": "s3://b", "dataset_uri": "", "Dataset": "s3://c"}
    assert list(dataset_uris(values)) == ["s3://a", "s3://b"]


def test_inputs_of_processing_and_training_are_named():
    training = [{"ChannelName": "tiles", "DataSource": {"S3DataSource": {"S3Uri": "s3://b/t"}}}]
    assert input_uris({"InputDataConfig": training}) == {"tiles": "s3://b/t"}
    assert input_uris({"ProcessingInputs": [{"InputName": "x", "S3Input": {"S3Uri": "s3://b/x"}}, {}]}) == {
        "x": "s3://b/x"
    }


def test_of_a_shared_prefix_only_the_steps_own_files_are_chosen_and_no_tables(tmp_path):
    for name in ("mine.json", "part/facts.parquet", "others.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    chosen = select_files(tmp_path, ["mine.json", "part/facts.parquet", "gone.json"])
    assert [str(name) for _, name in chosen.files] == ["mine.json"]
