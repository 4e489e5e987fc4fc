"""Labelled data in its three forms: every row comes out, good or refused, with its number."""

import csv
import json
import tracemalloc
from contextlib import suppress
from datetime import date
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.common.errors import UserError
from steps.core.common.text import printable
from steps.core.dataset import label_files
from steps.core.dataset.classes import Classes, LabelError
from steps.core.dataset.label_files import MAX_LINE_CHARACTERS
from steps.core.dataset.label_places import find_labels
from steps.core.dataset.labels import LabelledRow, RefusedRow, read_labels
from steps.core.dataset.splits import group_of, split_of

CLASSES = Classes("other", "game")


def line(source="a.png", label=1, **more):
    record = {"source-ref": source, "kind": label, "kind-metadata": {"type": "groundtruth/image-classification"}}
    return json.dumps(record | more)


def rows(folder, labels, **options):
    return list(read_labels(folder, labels, CLASSES, **options))


def test_a_manifest_gives_rows_with_their_line_numbers_and_slice_columns(tmp_path):
    lines = [line("a.png", 1, app="mail", depth=3), "", line("b.png", 0, device="")]
    (tmp_path / "m.manifest").write_text("\n".join(lines))
    assert rows(tmp_path, "m.manifest") == [
        LabelledRow(1, "a.png", 1, {"app": "mail", "depth": "3"}),
        LabelledRow(3, "b.png", 0, {}),
    ]


def test_a_class_name_in_the_metadata_goes_before_the_number(tmp_path):
    record = {"source-ref": "a.png", "kind": 7, "kind-metadata": {"class-name": "game"}}
    (tmp_path / "m.jsonl").write_text(json.dumps(record))
    assert rows(tmp_path, "m.jsonl")[0].label == 1


def test_a_class_name_that_nobody_knows_is_refused_whatever_number_stands_beside_it(tmp_path):
    names = ["game", "other", "cat"]
    lines = [line(f"{name}.png", 1, **{"kind-metadata": {"class-name": name}}) for name in names]
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    *taken, refused = rows(tmp_path, "m.jsonl")
    assert [row.label for row in taken] == [1, 0]
    assert isinstance(refused, RefusedRow)
    assert "'cat'" in refused.detail


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{not json", "manifest-line"),
        ("[1, 2]", "manifest-line"),
        ("null", "manifest-line"),
        ('{"kind": 1, "kind-metadata": {}}', "manifest-line"),
        ('{"source-ref": 5, "kind": 1, "kind-metadata": {}}', "manifest-line"),
        ('{"source-ref": "a.png", "kind": 1}', "label"),
        (line(label=2), "label"),
        (line(label="NaN"), "label"),
        (line(label=None), "label"),
        (line(label=[1]), "label"),
        ("x" * (MAX_LINE_CHARACTERS + 1), "manifest-line"),
        ("[" * 5000, "manifest-line"),
    ],
)
def test_a_broken_line_is_refused_and_the_others_stay(tmp_path, text, reason):
    (tmp_path / "m.manifest").write_text("\n".join([line("a.png"), text, line("b.png", 0)]))
    first, broken, last = rows(tmp_path, "m.manifest")
    assert (first.source_ref, last.source_ref) == ("a.png", "b.png")
    assert isinstance(broken, RefusedRow)
    assert (broken.row, broken.reason) == (2, reason)
    assert broken.detail


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "m.manifest").write_bytes(b"\xff\xfe\x00\n" + line().encode())
    assert [type(row) for row in rows(tmp_path, "m.manifest")] == [RefusedRow, LabelledRow]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["source-ref", "path", "k", "k-metadata", "app", "group", "session", "other"])
LINES = st.binary(max_size=60).filter(lambda b: b"\n" not in b) | st.dictionaries(KEYS, JSON, max_size=8).map(
    lambda record: json.dumps(record).encode()
)


@given(st.lists(LINES, max_size=8))
def test_no_line_breaks_the_reader_and_none_is_lost(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("manifest")
    (folder / "m.manifest").write_bytes(b"\n".join(lines))
    found = []
    with suppress(UserError):  # what the file as a whole may mean is told after its last row
        found.extend(read_labels(folder, "m.manifest", CLASSES))
    assert len(found) == sum(bool(text.strip()) for text in lines)
    for row in found:
        if isinstance(row, LabelledRow):
            split_of(group_of(row.slices) or "id")


@pytest.mark.parametrize(
    ("label", "more", "says"),
    [
        (1, {"app": "x\ud83d"}, "no text in UTF-8"),
        (1, {"group": {"app": "a"}}, "group is dict"),
        (1, {"session": [1]}, "session is list"),
        (10**400, {}, "of many digits"),
    ],
)
def test_values_that_cannot_be_kept_are_refused(tmp_path, label, more, says):
    (tmp_path / "m.manifest").write_text("\n".join([line(label=label, **more), line(label=0), line(label=1)]))
    row, *_ = rows(tmp_path, "m.manifest")
    assert isinstance(row, RefusedRow)
    assert says in row.detail
    assert row.source_ref == "a.png"


def test_a_list_beside_a_class_name_is_no_label(tmp_path):
    lines = [{"source-ref": "a.png", "label": label, "class-name": "game"} for label in ([1], {"x": 1}, 1)]
    lines.append({"source-ref": "b.png", "label": 0, "class-name": "other"})
    (tmp_path / "m.manifest").write_text("\n".join(map(json.dumps, lines)))
    first, second, *taken = rows(tmp_path, "m.manifest")
    assert [(row.row, row.reason) for row in (first, second)] == [(1, "label"), (2, "label")]
    assert [row.label for row in taken] == [1, 0]


def test_groups_are_the_same_text_in_every_form(tmp_path):
    (tmp_path / "m.manifest").write_text(line("a.png", 1, app=" x ", session=7.0))
    assert rows(tmp_path, "m.manifest")[0].slices == {"app": "x", "session": "7"}


def test_a_column_that_stands_twice_is_refused(tmp_path):
    (tmp_path / "l.csv").write_text("path,label,label\na.png,1,0\n")
    with pytest.raises(UserError, match="'label' twice"):
        rows(tmp_path, "l.csv")


def test_one_of_several_label_attributes_is_chosen_by_name(tmp_path):
    (tmp_path / "m.manifest").write_text(line("a.png", 1, **{"other": 0, "other-metadata": {}}))
    assert rows(tmp_path, "m.manifest", attribute="kind")[0].label == 1
    with pytest.raises(UserError, match=r"several label attributes, 'kind', 'other': .*--label-attribute"):
        rows(tmp_path, "m.manifest")
    with pytest.raises(UserError, match="no label attribute 'absent', but 'kind', 'other'"):
        rows(tmp_path, "m.manifest", attribute="absent")


def test_a_csv_and_a_parquet_table_give_the_same_rows(tmp_path):
    frame = pd.DataFrame(
        {"path": ["a.png", "b.png", "c.png"], "label": ["game", "other", "maybe"], "app": ["x", "", "z"]}
    )
    frame.to_csv(tmp_path / "l.csv", index=False)
    frame.to_parquet(tmp_path / "l.parquet")
    from_csv, from_parquet = rows(tmp_path, "l.csv"), rows(tmp_path, "l.parquet")
    assert [(type(r), r.source_ref) for r in from_csv] == [(type(r), r.source_ref) for r in from_parquet]
    assert from_csv[0] == LabelledRow(2, "a.png", 1, {"app": "x"})
    assert from_csv[1].slices == {}
    assert isinstance(from_csv[2], RefusedRow)


def test_a_row_with_too_few_fields_is_refused(tmp_path):
    (tmp_path / "l.csv").write_text("path,label\na.png,1\nb.png\nc.png,0,extra\n")
    assert [type(row) for row in rows(tmp_path, "l.csv")] == [LabelledRow, RefusedRow, RefusedRow]


def test_a_huge_line_is_refused_with_its_length_and_never_held_in_memory(tmp_path):
    with (tmp_path / "m.manifest").open("wb") as stream:
        stream.write(line("a.png").encode() + b"\n")
        stream.truncate(256 << 20)  # a hole: NULs that take no room on the disk
        stream.seek(0, 2)
        stream.write(b"\n" + line("b.png").encode())
    tracemalloc.start()
    found = rows(tmp_path, "m.manifest")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(row.row, row.source_ref) for row in found] == [(1, "a.png"), (2, ""), (3, "b.png")]
    assert f"{(256 << 20) - len(line('a.png')):,} bytes" in found[1].detail
    assert peak < 10 << 20


def test_a_line_of_the_greatest_length_is_read(tmp_path):
    text = line("a.png").ljust(MAX_LINE_CHARACTERS - 1)
    (tmp_path / "m.manifest").write_text(f"{text}\n{text} \n")
    assert [type(row) for row in rows(tmp_path, "m.manifest")] == [LabelledRow, RefusedRow]


def test_a_file_has_a_greatest_number_of_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(label_files, "MAX_ROWS", 3)
    frame = pd.DataFrame({"path": ["a.png"] * 3, "label": 1})
    frame.to_parquet(tmp_path / "three.parquet")
    pd.concat([frame, frame]).to_parquet(tmp_path / "six.parquet", row_group_size=3)
    (tmp_path / "three.manifest").write_text("\n".join([line()] * 3))
    (tmp_path / "four.manifest").write_text("\n".join([line()] * 4))
    assert len(rows(tmp_path, "three.parquet")) == len(rows(tmp_path, "three.manifest")) == 3
    for name in ("six.parquet", "four.manifest"):
        with pytest.raises(UserError, match="several parts"):
            rows(tmp_path, name)
    with pytest.raises(UserError, match="several parts"):
        next(read_labels(tmp_path, "six.parquet", CLASSES))  # the count that the file declares is enough


def test_a_table_that_unpacks_to_too_much_is_not_read(tmp_path, monkeypatch):
    frame = pd.DataFrame({"path": [f"{n}.png" for n in range(1000)], "label": 1})
    frame.to_parquet(tmp_path / "l.parquet")
    assert len(rows(tmp_path, "l.parquet")) == 1000
    monkeypatch.setattr(label_files, "MAX_TABLE_BYTES", 1000)
    with pytest.raises(UserError, match="unpacks to"):
        rows(tmp_path, "l.parquet")


def test_a_parquet_column_of_plain_values_is_text_and_any_other_is_passed_over(tmp_path):
    columns = {
        "path": pa.array(["a.png", "a.png"]).dictionary_encode(),
        "label": [True, False],
        "depth": pa.array([3, None], pa.int64()),
        "share": [0.5, None],
        "whole": [7.0, float("nan")],
        "framed": [True, None],
        "day": [date(2026, 11, 23), None],
        "captured-at": pa.array([1_700_000_000_000, None], pa.timestamp("ms", "UTC")),
        "price": [Decimal("1.50"), None],
        "level": pa.array([2, None]).dictionary_encode(),
        "nothing": pa.nulls(2),
        "embedding": [[0.1], None],
        "thumb": [b"\xff", None],
        "__index_level_0__": [4, 5],
    }
    pq.write_table(pa.table(columns), tmp_path / "l.parquet")
    first, second = rows(tmp_path, "l.parquet")
    assert (first.source_ref, first.label, second.label) == ("a.png", 1, 0)
    assert first.slices == {
        "depth": "3",
        "share": "0.5",
        "whole": "7",
        "framed": "True",
        "day": "2026-11-23",
        "captured-at": "2023-11-14 22:13:20.000Z",
        "price": "1.50",
        "level": "2",
    }
    assert second.slices == {}


def test_a_long_text_in_many_rows_of_a_parquet_table_is_in_memory_once(tmp_path):
    """As plain values these few kB would be 4 GB."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 200_000, pa.int32()), ["x" * 20_000])
    pq.write_table(pa.table({"path": texts, "label": [1] * 200_000}), tmp_path / "l.parquet", store_schema=False)
    reader = read_labels(tmp_path, "l.parquet", CLASSES)
    before = pa.total_allocated_bytes()
    assert {row.source_ref[:5] for row, _ in zip(reader, range(30_000), strict=False)} == {"xxxxx"}
    assert pa.total_allocated_bytes() - before < 100 << 20


def test_a_value_with_a_line_break_is_one_refused_row_that_says_where_it_ends(tmp_path):
    (tmp_path / "l.csv").write_text('path,label,app\na.png,1,"x\ny\nb.png,1,z"\nc.png,0,x\n')
    refused, last = rows(tmp_path, "l.csv")
    assert (refused.row, refused.reason) == (2, "manifest-line")
    assert "from line 2 to 4" in refused.detail
    assert last == LabelledRow(5, "c.png", 0, {"app": "x"})


def test_an_open_quotation_mark_is_told_with_its_line(tmp_path):
    (tmp_path / "l.csv").write_text('path,label\na.png,1\n"b.png,1\nc.png,0\n')
    with pytest.raises(UserError, match="line 3: a quotation mark is never closed"):
        rows(tmp_path, "l.csv")


FIELDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@given(st.lists(st.lists(FIELDS, min_size=3, max_size=3), max_size=6))
def test_what_stands_inside_a_quoted_value_never_becomes_a_row(tmp_path_factory, table):
    """Whatever a correct writer writes: as many rows come out as went in, and only with their own paths."""
    folder = tmp_path_factory.mktemp("csv")
    with (folder / "l.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(["path", "label", "app"])
        writer.writerows([["a.png", "1", 'x\nb.png,0,"y"\n'], *table])
    found = [record for _, record in label_files.read_records(folder / "l.csv", review=False)]
    assert len(found) == 1 + sum(any(map(str.strip, row)) for row in table)
    assert {record["path"] for record in found if isinstance(record, dict)} <= {path for path, _, _ in table}


def test_the_limit_of_pythons_csv_reader_is_left_alone_and_does_no_harm(tmp_path):
    (tmp_path / "l.csv").write_text("path,label\n" + "x" * 50 + ",1\na.png,1\n")
    before = csv.field_size_limit(40)
    try:
        refused, good = rows(tmp_path, "l.csv")
        assert csv.field_size_limit() == 40
    finally:
        csv.field_size_limit(before)
    assert (refused.row, refused.reason, good.source_ref) == (2, "manifest-line", "a.png")


def test_a_review_names_a_path_or_a_checksum_and_keeps_its_decision_apart(tmp_path):
    (tmp_path / "l.csv").write_text(f"path,sha256,label,by,waive,app\na.png,,1,kim,,x\n,{'A' * 64},,,labeller,\n")
    assert list(read_labels(tmp_path, "l.csv", CLASSES, review=True)) == [
        LabelledRow(2, "a.png", 1, {"app": "x"}, None, {"by": "kim"}),
        LabelledRow(3, "a" * 64, None, {}, "a" * 64, {"waive": "labeller"}),
    ]


def test_dashes_and_signed_numbers_are_no_formulas(tmp_path):
    values = {"a": "-", "b": "-1.5", "c": "+2e3", "d": "a=b", "e": "x-y", "f": "me@example.com"}
    (tmp_path / "m.manifest").write_text(line(**values))
    assert rows(tmp_path, "m.manifest")[0].slices == values


def test_letters_of_any_script_are_kept(tmp_path):
    values = {"app": "日本語 ゲーム", "device": "Büro 📱", "locale": "العربية\u200f", "city": "a\u00a0b"}
    (tmp_path / "m.manifest").write_text(line(**values))
    assert rows(tmp_path, "m.manifest")[0].slices == values


@pytest.mark.parametrize(("text", "shown"), [("a\x1b\n\ud83d\u202eb", "a????b"), ("é" * 501, "é" * 500), ("", "")])
def test_foreign_text_is_shown_short_and_without_what_cannot_be_printed(text, shown):
    assert printable(text) == shown


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    (tmp_path / "l.csv").write_bytes(b"\xef\xbb\xbfpath,label\na.png,1\n")
    assert rows(tmp_path, "l.csv") == [LabelledRow(2, "a.png", 1)]


def test_a_table_without_the_columns_says_which_it_has(tmp_path):
    (tmp_path / "l.csv").write_text("file,class\na.png,1\n")
    with pytest.raises(UserError, match="file, class"):
        rows(tmp_path, "l.csv")


def test_a_folder_per_class_takes_every_file_and_refuses_those_of_no_class(tmp_path):
    for name in ("game/a.png", "other/deep/b.jpg", "other/note.txt", "maybe/c.png", "game/.hidden"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = rows(tmp_path, ".")
    assert {r.source_ref: r.label for r in found if isinstance(r, LabelledRow)} == {
        "game/a.png": 1,
        "other/deep/b.jpg": 0,
        "other/note.txt": 0,
    }
    assert [r.source_ref for r in found if isinstance(r, RefusedRow)] == ["maybe/c.png"]


def test_a_manifest_is_found_before_a_table_and_a_tie_is_refused(tmp_path):
    (tmp_path / "labels.csv").touch()
    assert find_labels(tmp_path, CLASSES) == "labels.csv"
    (tmp_path / "output.manifest").touch()
    assert find_labels(tmp_path, CLASSES) == "output.manifest"
    (tmp_path / "second.manifest").touch()
    with pytest.raises(UserError, match="several"):
        find_labels(tmp_path, CLASSES)


def test_a_folder_without_labels_says_what_is_wanted(tmp_path):
    with pytest.raises(UserError, match="manifest"):
        find_labels(tmp_path, CLASSES)
    with pytest.raises(UserError, match="missing"):
        rows(tmp_path, "gone.csv")


@pytest.mark.parametrize(
    ("value", "index"),
    [(0, 0), (1, 1), (1.0, 1), (True, 1), ("1", 1), ("0.0", 0), (" game ", 1), ("other", 0), ("True", 1), ("false", 0)],
)
def test_labels_are_numbers_booleans_or_names(value, index):
    assert CLASSES.index(value) == index


@pytest.mark.parametrize("value", [2, -1, 0.5, float("nan"), "", "games", "nan", None, [], {}])
def test_other_labels_are_refused_with_the_value(value):
    with pytest.raises(LabelError, match="is none of"):
        CLASSES.index(value)


@pytest.mark.parametrize("text", ["", "one", "a,a", "a,b,c", ",b"])
def test_classes_are_two_different_names(text):
    with pytest.raises(UserError, match="two different names"):
        Classes.parse(text)


@pytest.mark.parametrize("text", ["1,0", "true,false", "no,nan"])
def test_class_names_are_no_numbers(text):
    with pytest.raises(UserError, match="a name is wanted"):
        Classes.parse(text)
