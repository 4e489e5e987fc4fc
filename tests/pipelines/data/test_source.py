"""The files of a folder are found just as the file system finds them, one row after the other."""

import os

import pytest

from pipelines.data.source import FolderFiles
from steps.core.dataset.paths import PathRefusedError, locate

REFS = [
    *("y" * 300, f"deep/{'y' * 300}.png", f"s3://bucket/{'y' * 300}/a.png"),
    *("a.png", "./a.png", "deep/b.png", "deep//b.png", "deep/more/c.png", "deep", "deep/", "deep/b.png/x", "a.png/x"),
    *(
        "gone.png",
        "gone/x.png",
        "gone/more/x.png",
        "deep/gone.png",
        "A.PNG",
        "Deep/b.png",
        "",
        ".",
        "/",
        "..",
        "../a.png",
    ),
    *(
        "link.png",
        "out.png",
        "inner/b.png",
        "outer/x",
        "outer/gone",
        "inner/gone",
        "outer/gone/x",
        "loop/a",
        "loop",
        "dangling",
        "fifo",
        "shut/x.png",
    ),
    *("/a.png", "C:\\a.png", "c:a.png", "deep\\b.png", "file:///a.png", "a\tb", "a\0b", "\udcff", "x" * 2000, "ä.png"),
    *("A\u0308.png", "s3://bucket/a.png", "s3://bucket/x/y/deep/b.png", "s3://bucket/x/deep/../a.png", "s3://bucket"),
    *("s3://bucket/", "s3://bucket/x/gone.png", "s3://bucket/out.png", "s3://bucket/x/inner/b.png", "s3:///a.png"),
]


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "root"
    for name in ("a.png", "deep/b.png", "deep/more/c.png", "ä.png", "shut/x.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x").write_bytes(b"x")
    links = {"link.png": "a.png", "out.png": "../secret/x", "inner": "deep", "outer": "../secret", "loop": "loop"}
    for name, target in {**links, "dangling": "nothing"}.items():
        (root / name).symlink_to(target)
    os.mkfifo(root / "fifo")
    return root


def outcome(find, ref):
    try:
        return str(find(ref))
    except PathRefusedError as error:
        return error.reason, str(error)


def test_every_ref_comes_to_what_the_file_system_says_of_it(tree):
    files = FolderFiles(tree)
    for _ in range(2):
        for ref in REFS:
            assert outcome(files.locate, ref) == outcome(lambda r: locate(tree, r), ref), repr(ref)


def test_rows_that_name_missing_files_are_not_resolved_one_by_one(tree, monkeypatch):
    files = FolderFiles(tree)
    asked = []
    monkeypatch.setattr("pipelines.data.source.locate", lambda root, ref: asked.append(ref) or locate(root, ref))
    for number in range(1000):
        for ref in (f"deep/{number}.png", f"gone/{number}/x.png", f"s3://bucket/some/where/{number}.png"):
            assert outcome(files.locate, ref)[0] == "missing-file"
    assert len(asked) < 8
