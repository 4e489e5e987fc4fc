"""Which pretrained weights lie at a place in the store: their digest, none, or one sentence."""

import hashlib

import pytest

from pipelines.planning.seed import SAMPLE_WEIGHTS, seed, weights_sha256
from pipelines.storage.folder import FolderObjects
from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file


@pytest.fixture
def artifacts(tmp_path):
    return FolderObjects(tmp_path / "b", "b")


@pytest.mark.parametrize("slash", ["", "/"])
def test_weights_are_told_by_their_bytes(artifacts, slash):
    seed(artifacts)
    artifacts.put("weights/mine/any.weights.h5", b"weights")
    artifacts.put("weights/mine/deeper/other.weights.h5", b"others")
    assert weights_sha256(artifacts, f"s3://b/weights/mine{slash}") == hashlib.sha256(b"weights").hexdigest()
    assert weights_sha256(artifacts, f"s3://b/weights/sample{slash}") == sha256_file(SAMPLE_WEIGHTS)


@pytest.mark.parametrize(
    ("uri", "keys", "told"),
    [
        ("s3://b/weights/w", (), "nothing is there"),
        ("s3://b/weights/w", ("weights/w2/a.weights.h5",), "nothing is there"),
        (
            "s3://b/weights/w",
            ("weights/w/a.weights.h5", "weights/w/b.weights.h5"),
            "a.weights.h5, b.weights.h5 is there",
        ),
        ("s3://other/weights/w", ("weights/w/a.weights.h5",), "a folder below s3://b/weights/ is wanted"),
    ],
)
def test_another_place_is_one_sentence(artifacts, uri, keys, told):
    for key in keys:
        artifacts.put(key, b"weights")
    with pytest.raises(UserError, match=f"pretrained weights at {uri}: .*{told}"):
        weights_sha256(artifacts, uri)
