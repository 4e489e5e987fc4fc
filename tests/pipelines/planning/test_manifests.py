"""ManifestFiles are what SageMaker reads, and all that they list is there."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.planning.planner import all_exist, read_manifest
from pipelines.storage.folder import FolderObjects
from steps.core.dataset.plan import write_manifest

names = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=9)


@given(st.lists(st.one_of(names, st.just("prefix"), st.tuples(names, names).map("/".join))))
def test_what_was_written_is_read_as_json_and_as_keys(keys):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m"
        write_manifest(path, "s3://bucket/", keys)
        assert json.loads(path.read_text()) == [{"prefix": "s3://bucket/"}, *sorted(set(keys))]
        assert read_manifest(path) == sorted(set(keys))


@pytest.mark.parametrize("gone", [None, "a/1", "a/2", "a/3", "b/1", "c", "e/f/h/2", "e/f/x"])
def test_every_object_has_to_be_there(tmp_path, gone):
    objects, keys = (
        FolderObjects(tmp_path, "bucket"),
        ["a/1", "a/2", "a/3", "b/1", "c", "d", "e/f/g/1", "e/f/h/2", "e/f/x"],
    )
    for key in (*keys, "a/0", "a/25", "a/9", "e/f/h/1"):
        objects.put(key, b"")
    if gone:
        objects.delete(gone)
    assert all_exist(objects, keys) == (gone is None)
