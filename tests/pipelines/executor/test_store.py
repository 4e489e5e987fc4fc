"""The store: nothing escapes it, nothing in it is half written."""

import os
import stat
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.executor.errors import DefinitionError
from pipelines.executor.prefix import host_path, rewrite
from pipelines.executor.store import LocalStore

PIECES = st.sampled_from(["..", ".", "", "/", "a", "b c", "é", "\0", "...", ".hidden", "s3:", "\\", "\n"])


@given(st.lists(PIECES, max_size=6).map("/".join))
def test_no_uri_leaves_the_root(tail):
    """Every URI is either refused or names something below its bucket."""
    store = LocalStore(Path("/srv/store"))
    try:
        path = store.path("s3://" + tail)
    except DefinitionError:
        return
    assert path.is_relative_to("/srv/store")
    assert path == path.__class__(os.path.normpath(path))
    assert path != store.root
    assert ".staging" not in path.parts
    assert "\0" not in str(path)


@pytest.mark.parametrize(
    "uri",
    [
        "/etc/passwd",
        "file:///x",
        "s3://",
        "s3:///key",
        "s3://b/../c",
        "s3://b//etc",
        "s3://../x",
        "s3://.b/x",
        "s3://b/a\0",
        "",
        "S3://b/x",
    ],
)
def test_what_is_no_object_is_refused(tmp_path, uri):
    with pytest.raises(DefinitionError, match="wanted s3://<bucket>/<key>"):
        LocalStore(tmp_path).path(uri)


def test_objects_are_read_only_and_fetched_as_links(tmp_path):
    store = LocalStore(tmp_path / "store")
    store.put_bytes(b"x", "s3://b/k/a.txt")
    assert stat.S_IMODE(store.path("s3://b/k/a.txt").stat().st_mode) == 0o400
    store.fetch("s3://b/k", tmp_path / "here")
    assert (tmp_path / "here" / "a.txt").samefile(store.path("s3://b/k/a.txt"))
    store.fetch("s3://b/k", tmp_path / "copy", copy=True)
    (tmp_path / "copy" / "a.txt").write_text("mine")
    assert store.path("s3://b/k/a.txt").read_bytes() == b"x"


def test_a_prefix_is_no_object_and_an_object_no_prefix(tmp_path):
    store = LocalStore(tmp_path / "store")
    store.put_bytes(b"x", "s3://b/k/a.txt")
    for uri in ("s3://b/k", "s3://b", "s3://b/new/"):
        with pytest.raises(DefinitionError, match="is a prefix"):
            store.put_bytes(b"y", uri)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "f").write_text("f")
    with pytest.raises(DefinitionError, match="is one object already"):
        store.commit(tmp_path / "tree", "s3://b/k/a.txt")
    with pytest.raises(DefinitionError, match="no objects under s3://b/none"):
        store.digest("s3://b/none")


def tree(folder, **files):
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_a_commit_is_whole_or_not_at_all(tmp_path):
    """A tree that cannot be stored as a whole leaves no part of it, and nothing staged."""
    store = LocalStore(tmp_path / "store")
    broken = tree(tmp_path / "broken", a="1")
    (broken / "z").symlink_to("nowhere")
    with pytest.raises(DefinitionError, match="the output file z is a dangling link"):
        store.commit(broken, "s3://b/out")
    assert not store.exists("s3://b/out")
    assert not list((tmp_path / "store").rglob("*"))


def test_a_commit_replaces_a_different_tree_and_leaves_an_equal_one(tmp_path):
    store = LocalStore(tmp_path / "store")
    store.commit(tree(tmp_path / "one", a="1", stale="x"), "s3://b/out")
    first = store.path("s3://b/out/a").stat().st_ino
    store.commit(tree(tmp_path / "same", a="1", stale="x"), "s3://b/out")
    assert store.path("s3://b/out/a").stat().st_ino == first
    store.commit(tree(tmp_path / "two", a="2"), "s3://b/out")
    assert [path.name for path in store.path("s3://b/out").iterdir()] == ["a"]
    assert store.path("s3://b/out/a").read_text() == "2"
    assert not list((tmp_path / "store" / ".staging").iterdir())


def test_a_commit_follows_links_to_files_and_leaves_its_source_alone(tmp_path):
    """What a link points to is stored; without `give_up` the source stays writable."""
    source = tree(tmp_path / "source", a="1")
    (tmp_path / "elsewhere").write_text("far")
    (source / "link").symlink_to(tmp_path / "elsewhere")
    store = LocalStore(tmp_path / "store")
    store.commit(source, "s3://b/out")
    (source / "a").write_text("changed")
    assert (store.path("s3://b/out/a").read_text(), store.path("s3://b/out/link").read_text()) == ("1", "far")


def test_the_digest_is_of_names_and_bytes_not_of_the_place(tmp_path):
    store = LocalStore(tmp_path / "store")
    source = tree(tmp_path / "source", a="1", b="2")
    for uri in ("s3://b/one", "s3://c/two/deep"):
        store.commit(source, uri)
    assert store.digest("s3://b/one") == store.digest("s3://c/two/deep/")
    store.commit(tree(tmp_path / "swapped", a="2", b="1"), "s3://b/swapped")
    assert store.digest("s3://b/one") != store.digest("s3://b/swapped")


def test_what_was_left_half_staged_is_swept_after_a_day(tmp_path):
    store = LocalStore(tmp_path / "store")
    old, new = tmp_path / "store/.staging/1000-dead", tmp_path / f"store/.staging/{2**62}-alive"
    for folder in (old, new):
        folder.mkdir(parents=True)
    store.sweep()
    assert (old.exists(), new.exists()) == (False, True)


WORDS = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=8)
TAILS = st.lists(WORDS, max_size=3).map(lambda parts: "".join("/" + part for part in parts))


@given(before=st.sampled_from(["", "--x=", "a:", "a,", '{"k": "', "cmd "]), tail=TAILS)
def test_a_whole_prefix_is_rewritten(before, tail):
    """At the start, or after = : , " or a space, and as whole path segments."""
    assert rewrite(f"{before}/opt/ml{tail}", Path("/job")) == (f"{before}/job/opt/ml{tail}")


@given(before=WORDS | st.just("s3://b") | st.just("/srv") | st.just("'"), tail=TAILS)
def test_a_part_of_another_path_is_left_alone(before, tail):
    text = f"{before}/opt/ml{tail}"
    assert rewrite(text, Path("/job")) == text


@given(WORDS)
def test_a_longer_name_is_left_alone(word):
    text = f"/opt/ml{word}/x"
    assert rewrite(text, Path("/job")) == text


@given(st.lists(st.sampled_from(["..", "a", "", ".", "opt"]), max_size=6).map("/".join))
def test_no_container_path_leaves_the_jobs_folder(path):
    root = Path("/job")
    assert os.path.normpath(host_path("/" + path, root)).startswith("/job")
