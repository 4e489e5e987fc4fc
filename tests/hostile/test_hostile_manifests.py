"""Hostile labels files: each row is refused with its number and reason, and nothing but the labels file is opened."""

import os
import sys

import pandas as pd
import pytest

from steps.core.common.errors import UserError
from steps.core.dataset.classes import Classes
from steps.core.dataset.labels import read_labels
from steps.core.dataset.paths import PathRefusedError, locate
from steps.core.dataset.rows import read_rows
from steps.core.dataset.snapshot import Batch

from .manifests import GOOD, cases

LISTING = pd.DataFrame(
    {"path": [*GOOD, "folder/c.png", "odd\\secret.png"], "sha256": [c * 64 for c in "abcd"], "bytes": [1] * 4}
)
CASES = cases()
_opened: list[str] | None = None


def _note(event, arguments):
    if _opened is not None and event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str):
        _opened.append(arguments[0])


sys.addaudithook(_note)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "batch"
    (made / "folder").mkdir(parents=True)
    for name in (*GOOD, "folder/c.png"):
        (made / name).write_bytes(name.encode())
    (tmp_path / "secret.png").write_bytes(b"secret")
    return made


def read(folder, case):
    (folder / case.labels).write_bytes(case.content)
    return read_rows(Batch("b-1", case.labels, "0" * 64), folder, LISTING, Classes(), None)


@pytest.mark.parametrize("case", [case for case in CASES if not case.says], ids=str)
def test_a_hostile_row_is_refused_with_its_number_and_reason_and_the_others_stay(folder, case):
    rows, refused = read(folder, case)
    assert [(q.row, q.reason) for q in refused] == list(case.refused)
    assert list(rows["path"]) == list(GOOD)
    assert list(rows["id"]) == ["a" * 64, "b" * 64]


@pytest.mark.parametrize("case", [case for case in CASES if not case.says], ids=str)
def test_what_is_told_of_a_hostile_row_is_short_and_can_be_printed(folder, case):
    (refused,) = read(folder, case)[1]
    assert refused.detail
    assert len(refused.detail) < 500
    assert refused.detail.isprintable()
    assert len(refused.source_ref) <= 500
    assert refused.source_ref.isprintable()
    assert refused.detail[0] not in "=+-@"


@pytest.mark.parametrize("case", [case for case in CASES if case.says], ids=str)
def test_a_file_that_is_broken_as_a_whole_is_refused_in_a_sentence_that_names_it(folder, case):
    with pytest.raises(UserError) as refused:
        read(folder, case)
    assert case.says in str(refused.value)
    assert case.labels in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_no_case_opens_anything_but_the_labels_file(folder):
    global _opened  # noqa: PLW0603 - an audit hook cannot be taken away again
    read(folder, CASES[0])  # whatever is imported with the first use, our own modules too
    for case in CASES:
        (folder / case.labels).write_bytes(case.content)
        _opened = []
        try:
            read_rows(Batch("b-1", case.labels, "0" * 64), folder, LISTING, Classes(), None)
        except UserError:
            pass
        finally:
            opened, _opened = _opened, None
        # pyarrow opens its file without Python, so without an event.
        expected = set() if case.labels.endswith(".parquet") else {str(folder / case.labels)}
        # A library that is first used here imports its own modules.
        assert {path for path in opened if not path.startswith(sys.prefix)} == expected, case


def test_two_rows_with_two_labels_for_one_screenshot_are_both_there_for_the_judge(folder):
    (folder / "l.csv").write_text("path,label\na.png,1\n./a.png,0\ns3://bucket/x/a.png,1\n")
    rows, refused = read_rows(Batch("b-1", "l.csv", "0" * 64), folder, LISTING, Classes(), None)
    assert refused == []
    assert list(zip(rows["row"], rows["id"], rows["label"], strict=True)) == [
        (2, "a" * 64, 1),
        (3, "a" * 64, 0),
        (4, "a" * 64, 1),
    ]


def test_a_byte_order_mark_and_windows_line_ends_are_no_attack(folder):
    (folder / "l.csv").write_bytes(b"\xef\xbb\xbfpath,label,app\r\na.png,1,x\r\n\r\nb.png,0,-\r\n")
    rows, refused = read_rows(Batch("b-1", "l.csv", "0" * 64), folder, LISTING, Classes(), None)
    assert refused == []
    assert list(rows["row"]) == [2, 4]
    assert list(rows["slice:app"]) == ["x", "-"]


def _file_out(folder):
    (folder / "link").symlink_to(folder.parent / "secret.png")


def _folder_out(folder):
    (folder / "up").symlink_to(folder.parent)


def _loop(folder):
    (folder / "link").symlink_to(folder / "link")


def _device(folder):
    (folder / "link").symlink_to("/dev/zero")


def _pipe(folder):
    os.mkfifo(folder / "link")


def _chain(folder):
    (folder / "first").symlink_to(folder.parent / "secret.png")
    (folder / "link").symlink_to(folder / "first")


def _dangling(folder):
    (folder / "link").symlink_to(folder / "gone")


@pytest.mark.parametrize(
    ("make", "ref", "reason"),
    [
        (_file_out, "link", "path"),
        (_file_out, "s3://bucket/some/link", "path"),
        (_folder_out, "up/secret.png", "path"),
        (_folder_out, "up/batch/../secret.png", "path"),
        (_loop, "link", "path"),
        (_device, "link", "path"),
        (_pipe, "link", "missing-file"),
        (_chain, "link", "path"),
        (_dangling, "link", "missing-file"),
    ],
)
def test_no_link_leads_out_of_the_folder_and_only_regular_files_are_found(folder, make, ref, reason):
    make(folder)
    with pytest.raises(PathRefusedError) as refused:
        locate(folder, ref)
    assert refused.value.reason == reason


@pytest.mark.parametrize("labels", ["../outside.csv", "/etc/passwd", "link.csv", "up/outside.csv", "pipe.csv"])
def test_a_labels_file_is_a_regular_file_inside_its_folder(folder, labels):
    outside = folder.parent / "outside.csv"
    outside.write_text("path,label\na.png,1\n")
    (folder / "link.csv").symlink_to(outside)
    (folder / "up").symlink_to(folder.parent)
    os.mkfifo(folder / "pipe.csv")
    with pytest.raises(UserError, match="labels file"):
        list(read_labels(folder, labels, Classes()))
