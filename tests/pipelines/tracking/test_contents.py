"""Which files, numbers and names of a step go to MLflow."""

import pytest

from pipelines.tracking.contents import (
    dataset_digest,
    files_to_show,
)


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


def test_an_account_in_a_bucket_s_name_is_no_digest():
    assert dataset_digest("s3://data-123456789012/datasets/" + "c" * 64) == "c" * 36
    unnamed = {dataset_digest(f"s3://data-123456789012/datasets/{name}") for name in ("mine", "yours")}
    assert len(unnamed) == 2
    assert "123456789012" not in unnamed


def test_pages_tables_and_pictures_are_shown_and_nothing_that_a_link_leads_to(tmp_path):
    shown = ("report.html", "evidence/roc.png", "evidence/slices.csv", "scores.parquet")
    for name in (*shown, "model.tar.gz", "tiles.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "link.html").symlink_to("/etc/hosts")
    with (tmp_path / "endless.json").open("wb") as stream:
        stream.truncate(21 << 20)
    assert set(files_to_show(tmp_path)) == set(shown)
