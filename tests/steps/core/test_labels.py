"""Labelled data in its three forms: every row comes out, good or refused, with its number."""

import json
import sys

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.classes import Classes, LabelError
from steps.core.errors import UserError
from steps.core.labels import MAX_LINE_CHARACTERS, LabelledRow, RefusedRow, find_labels, read_labels
from steps.core.splits import group_of, split_of

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


def test_an_unknown_class_name_is_refused_where_names_were_given_and_else_the_number_counts(tmp_path):
    record = {"source-ref": "a.png", "kind": 1, "kind-metadata": {"class-name": "cat"}}
    (tmp_path / "m.jsonl").write_text(json.dumps(record))
    (refused,) = rows(tmp_path, "m.jsonl")
    assert isinstance(refused, RefusedRow)
    assert "'cat'" in refused.detail
    (taken,) = read_labels(tmp_path, "m.jsonl", Classes.parse("auto"))
    assert (taken.label, taken.slices) == (1, {"class-name": "cat"})


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
    (tmp_path / "m.manifest").write_text("\n".join([line("a.png"), text, line("b.png")]))
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
    found = rows(folder, "m.manifest")
    assert len(found) == sum(bool(text.strip()) for text in lines)
    for row in found:
        if isinstance(row, LabelledRow):
            split_of(group_of(row.slices, "id"))


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
    sys.set_int_max_str_digits(0)
    (tmp_path / "m.manifest").write_text(line(label=label, **more))
    (row,) = rows(tmp_path, "m.manifest")
    assert isinstance(row, RefusedRow)
    assert says in row.detail
    assert row.source_ref == "a.png"


def test_groups_are_the_same_text_in_every_form(tmp_path):
    (tmp_path / "m.manifest").write_text(line("a.png", 1, app=" x ", session=7.0))
    assert rows(tmp_path, "m.manifest")[0].slices == {"app": "x", "session": "7"}


def test_a_column_that_stands_twice_is_refused(tmp_path):
    (tmp_path / "l.csv").write_text("path,label,label\na.png,1,0\n")
    with pytest.raises(UserError, match="'label' twice"):
        rows(tmp_path, "l.csv")


def test_one_of_several_label_attributes_is_chosen_by_name(tmp_path):
    (tmp_path / "m.manifest").write_text(line("a.png", 1, **{"other": 0, "other-metadata": {}}))
    assert isinstance(rows(tmp_path, "m.manifest")[0], RefusedRow)
    assert rows(tmp_path, "m.manifest", attribute="kind")[0].label == 1
    assert isinstance(rows(tmp_path, "m.manifest", attribute="absent")[0], RefusedRow)


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
