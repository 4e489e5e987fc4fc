"""The store: nothing escapes it, nothing in it is half written."""

import errno
import os
import shutil
import signal
import stat
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.executor.errors import DefinitionError
from pipelines.executor.files import output_files, replacing
from pipelines.executor.job import host_path, rewrite
from pipelines.executor.store import LocalStore
from pipelines.executor.training import pack
from steps.core.common.errors import UserError
from steps.core.common.files import full_disk_told
from steps.core.common.files import replacing as steps_replacing

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
    os.mkfifo(broken / "z")
    with pytest.raises(DefinitionError, match="the output z is a link or not a regular file"):
        store.commit(broken, "s3://b/out")
    assert not store.exists("s3://b/out")
    assert not list((tmp_path / "store").rglob("*"))


LINKS = {
    "to a file": lambda source, outside: (source / "link").symlink_to(outside / "secret"),
    "to a folder": lambda source, outside: (source / "link").symlink_to(outside),
    "to nothing": lambda source, _: (source / "link").symlink_to("nowhere"),
    "to itself, twice": lambda source, _: [(source / name).symlink_to(".") for name in "xy"],
    "in the folder's place": lambda source, outside: (shutil.rmtree(source), source.symlink_to(outside)),
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_a_link_among_outputs_is_refused_and_what_it_leads_to_stays_as_it_is(tmp_path, link):
    """It could lead to any file of this machine, which would be stored, and become read-only."""
    source, outside = tree(tmp_path / "source", a="1"), tree(tmp_path / "outside", secret="s")  # noqa: S106
    before = (outside / "secret").stat()
    link(source, outside)
    store = LocalStore(tmp_path / "store")
    for store_it in (
        lambda: store.commit(source, "s3://b/out"),
        lambda: store.commit(source, "s3://b/out", keep_others=True),
        lambda: pack(source, tmp_path / "packed.tar.gz"),
    ):
        with pytest.raises(DefinitionError, match="link"):
            store_it()
    assert not store.exists("s3://b/out")
    assert (outside / "secret").stat() == before


def test_a_link_on_the_way_to_an_output_is_refused(tmp_path):
    outside = tree(tmp_path / "outside", secret="s")  # noqa: S106
    (tmp_path / "root" / "opt").mkdir(parents=True)
    (tmp_path / "root" / "opt" / "ml").symlink_to(outside.parent)
    with pytest.raises(DefinitionError, match=r"the output folder .*/opt/ml is a link"):
        output_files(tmp_path / "root" / "opt" / "ml" / "outside", tmp_path / "root")


def test_a_full_disk_names_the_file(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match=r"No space left on device: '.*big.bin'"), replacing(tmp_path / "big.bin"):
        raise full
    full.filename = None
    sentence = r"the disk is full: .*big.bin could not be written; free space and do the same again"
    with pytest.raises(UserError, match=sentence), full_disk_told(), steps_replacing(tmp_path / "big.bin"):
        raise full
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_has_another_name_is_copied_and_the_other_stays_writable(tmp_path):
    source, outside = tree(tmp_path / "source", a="1"), tree(tmp_path / "outside", mine="m")
    os.link(outside / "mine", source / "mine")
    store = LocalStore(tmp_path / "store")
    store.commit(source, "s3://b/out")
    (outside / "mine").write_text("changed")
    assert store.path("s3://b/out/mine").read_text() == "m"
    assert store.path("s3://b/out/a").samefile(source / "a")


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


def test_the_digest_is_of_names_and_bytes_not_of_the_place(tmp_path):
    store = LocalStore(tmp_path / "store")
    source = tree(tmp_path / "source", a="1", b="2")
    for uri in ("s3://b/one", "s3://c/two/deep"):
        store.commit(source, uri)
    assert store.digest("s3://b/one") == store.digest("s3://c/two/deep/")
    store.commit(tree(tmp_path / "swapped", a="2", b="1"), "s3://b/swapped")
    assert store.digest("s3://b/one") != store.digest("s3://b/swapped")


def test_what_a_killed_process_left_half_staged_is_swept_at_once_and_nothing_else(tmp_path):
    store = LocalStore(tmp_path / "store")
    if (child := os.fork()) == 0:
        with store.scratch() as folder:
            (folder / "file").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (left,) = (tmp_path / "store/.staging").iterdir()
    with store.scratch() as mine:
        assert store.abandoned() == [left]
        store.sweep()
        assert (left.exists(), mine.exists()) == (False, True)
    assert not list((tmp_path / "store/.staging").iterdir())


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
