"""Which files, numbers and names of a step go to MLflow."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.tracking.contents import (
    dataset_digest,
    dataset_uris,
    files_to_show,
    metric_name,
)

NAMES = st.text(max_size=20)


@given(NAMES)
def test_a_metric_name_is_no_path_that_leaves_its_place(name):
    clean = metric_name(name)
    assert clean
    assert not clean.startswith("/")
    assert ".." not in clean.split("/")
    assert set(clean) - set(string.printable) == {c for c in clean if c.isalnum() and not c.isascii()}


def test_what_a_training_calls_by_a_colon_stands_together():
    assert metric_name("validation:auc") == "validation/auc"


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


def test_pages_tables_and_pictures_are_shown_and_nothing_that_a_link_leads_to(tmp_path):
    shown = ("report.html", "evidence/roc.png", "evidence/slices.csv", "scores.parquet")
    for name in (*shown, "model.tar.gz", "tiles.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "link.html").symlink_to("/etc/hosts")
    with (tmp_path / "endless.json").open("wb") as stream:
        stream.truncate(21 << 20)
    assert set(files_to_show(tmp_path)) == set(shown)
