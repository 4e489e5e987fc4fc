"""Labelled rows as a table: joined to the batch's files, every row on one side, nothing asked of the disk."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from steps.core.common.errors import UserError
from steps.core.dataset import rows as rows_module
from steps.core.dataset.classes import Classes
from steps.core.dataset.paths import Files, PathRefusedError, locate
from steps.core.dataset.rows import ROW_COLUMNS, no_rows, read_rows
from steps.core.dataset.snapshot import REVIEW, Batch
from steps.core.dataset.tables import read_quarantine, write_quarantine

CLASSES = Classes("other", "game")
NAMES = ("a.png", "b.png", "images/a.png", "images/deep/c.png")
IDS = {name: f"{number}" * 64 for number, name in enumerate(NAMES)}
LISTING = pd.DataFrame({"path": NAMES, "sha256": IDS.values(), "bytes": 1})


def read(folder, text, labels="l.csv", kind="labels", *, listing=LISTING, attribute=None):
    if labels != ".":
        (folder / labels).write_text(text)
    return read_rows(Batch("b-1", labels, "0" * 64, kind), folder, listing, CLASSES, attribute)


def records(frame, *columns):
    return list(frame[list(columns)].itertuples(index=False, name=None))


def test_a_row_has_its_line_its_file_its_label_and_its_slices(tmp_path):
    lines = [
        {"source-ref": "a.png", "k": 1, "k-metadata": {}, "app": "mail", "depth": 3},
        {"source-ref": "s3://bucket/job/images/deep/c.png", "k": 0, "k-metadata": {}, "device": "x"},
    ]
    text = "\n\n".join(json.dumps(line) for line in lines)
    rows, refused = read(tmp_path, text, "m.manifest")
    assert refused == []
    assert list(rows.columns) == [*ROW_COLUMNS, "slice:app", "slice:depth", "slice:device"]
    assert records(rows, "batch", "row", "source_ref", "path", "id", "label") == [
        ("b-1", 1, "a.png", "a.png", IDS["a.png"], 1),
        ("b-1", 3, lines[1]["source-ref"], "images/deep/c.png", IDS["images/deep/c.png"], 0),
    ]
    assert list(rows["slice:app"].isna()) == [False, True]
    assert rows["slice:depth"][0] == "3"


def test_the_columns_have_their_types_also_where_there_is_no_row(tmp_path):
    rows, _ = read(tmp_path, "path,label\na.png,1\n")
    review, _ = read(tmp_path, "path,label\na.png,1\n", kind=REVIEW)
    texts = {name: "str" for name in ROW_COLUMNS if name not in ("row", "label")}
    assert rows.dtypes.astype(str).to_dict() == {**texts, "row": "int64", "label": "int8"}
    assert review.dtypes.astype(str).to_dict() == {**texts, "row": "int64", "label": "Int8"}
    assert no_rows().dtypes.equals(rows.dtypes)
    assert len(no_rows()) == 0


def test_the_table_is_written_to_parquet_and_read_again_unchanged(tmp_path):
    rows, _ = read(tmp_path, "path,label,app\na.png,1,\nb.png,0,mail\n")
    rows.to_parquet(tmp_path / "rows.parquet", index=False)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "rows.parquet"), rows)


@pytest.mark.parametrize(
    ("given_columns", "group"),
    [
        ({"group": "g", "app": "a", "session": "s"}, "g"),
        ({"app": "a", "session": "s"}, "a"),
        ({"session": 7.0}, "7"),
        ({"group": "", "app": " ", "session": "s"}, "s"),
    ],
)
def test_the_group_is_the_given_one_else_the_app_else_the_session(tmp_path, given_columns, group):
    line = json.dumps({"source-ref": "a.png", "k": 1, "k-metadata": {}} | given_columns)
    assert list(read(tmp_path, line, "m.manifest")[0]["group"]) == [group]


def test_a_row_that_states_no_group_has_none(tmp_path):
    rows, _ = read(tmp_path, "path,label\na.png,1\n")
    assert rows["group"].isna().all()


def test_refused_rows_come_in_the_order_of_the_file_with_their_reasons(tmp_path):
    text = "path,label,width\n../x,1,9\na.png,1,none\ngone.png,0,9\nb.png,2,9\na.png,1,9\n=b.png,1,9\na.png\n"
    rows, refused = read(tmp_path, text)
    assert list(rows["row"]) == [6]
    assert list(rows.index) == [0]
    assert [(q.row, q.reason) for q in refused] == [
        (2, "path"),
        (3, "schema"),
        (4, "missing-file"),
        (5, "label"),
        (7, "formula"),
        (8, "manifest-line"),
    ]
    assert {(q.batch, q.labels, q.sha256) for q in refused} == {("b-1", "l.csv", "")}
    assert refused[1].detail == "width is 'none', wanted is a whole number of pixels above 0"


def test_a_row_with_several_impossible_values_is_refused_once_and_names_them(tmp_path):
    _, refused = read(tmp_path, "path,label,width,height\na.png,1,0,-1\n")
    assert len(refused) == 1
    assert "width is '0'" in refused[0].detail
    assert "height is '-1'" in refused[0].detail


def test_refused_rows_of_any_text_can_be_written_to_the_quarantine(tmp_path):
    line = json.dumps({"source-ref": "\ud83d" + "\x1b" * 600, "k": 1, "k-metadata": {}})
    _, refused = read(tmp_path, line, "m.manifest")
    write_quarantine(tmp_path, refused)
    assert read_quarantine(tmp_path)["source_ref"][0] == "?" * 500


def test_a_folder_per_class_is_read_from_the_listing_alone(tmp_path):
    names = ["other/z.png", "game/b.png", "game/a/c.png", "maybe/d.png", "e.png", "game/.hidden"]
    listing = pd.DataFrame({"path": names, "sha256": [f"{n}" * 64 for n in range(6)], "bytes": 1})
    rows, refused = read(tmp_path / "not there", "", ".", listing=listing)
    assert records(rows, "path", "label") == [("game/a/c.png", 1), ("game/b.png", 1), ("other/z.png", 0)]
    assert list(rows["row"]) == [2, 3, 5]
    assert [(q.source_ref, q.reason) for q in refused] == [("e.png", "label"), ("maybe/d.png", "label")]


def test_a_decision_may_name_its_screenshot_by_checksum_alone(tmp_path):
    sha256 = "Ab" * 32
    text = f"sha256,label,by,reason\n{sha256},game,kim,a board game\n"
    rows, refused = read(tmp_path, text, kind=REVIEW, listing=LISTING[:0])
    assert refused == []
    assert rows["path"].isna().all()
    assert records(rows, "id", "source_ref", "label", "by", "reason") == [
        (sha256.lower(), sha256.lower(), 1, "kim", "a board game")
    ]
    assert not [name for name in rows if name.startswith("slice:")]


def test_a_decision_may_waive_rules_without_a_label(tmp_path):
    text = f"sha256,label,waive\n{'0' * 64},,near-conflict\n{'1' * 64},1,\n"
    rows, refused = read(tmp_path, text, kind=REVIEW)
    assert refused == []
    assert list(rows["label"].isna()) == [True, False]
    assert rows["waive"][0] == "near-conflict"
    assert pd.isna(rows["waive"][1])


def test_a_decision_of_a_manifest_may_have_a_plain_label(tmp_path):
    lines = [
        {"sha256": "0" * 64, "label": "game", "by": "kim"},
        {"sha256": "1" * 64, "waive": "labeller"},
        {"source-ref": "a.png", "k": 0, "k-metadata": {}},
    ]
    rows, refused = read(tmp_path, "\n".join(json.dumps(line) for line in lines), "m.jsonl", kind=REVIEW)
    assert refused == []
    assert rows["label"].tolist() == [1, pd.NA, 0]
    assert rows["id"].tolist() == ["0" * 64, "1" * 64, IDS["a.png"]]


def test_a_decision_that_has_a_path_is_located_and_keeps_its_checksum_as_a_column(tmp_path):
    rows, _ = read(tmp_path, f"path,sha256,label\na.png,{'f' * 64},1\n", kind=REVIEW)
    assert records(rows, "path", "id", "slice:sha256") == [("a.png", IDS["a.png"], "f" * 64)]


@pytest.mark.parametrize(
    ("row", "reason", "says"),
    [
        ("xyz,1,,", "manifest-line", "64 hexadecimal digits"),
        (f"{'0' * 63},1,,", "manifest-line", "64 hexadecimal digits"),
        (f"{'0' * 65},1,,", "manifest-line", "64 hexadecimal digits"),
        (",1,,", "manifest-line", "no image"),
        (f"{'0' * 64},,kim,", "label", "decides nothing"),
        (f"{'0' * 64},maybe,kim,near-conflict", "label", "'maybe'"),
        (f"{'0' * 64},,kim,a b", "manifest-line", "names of rules"),
        (f"{'0' * 64},,kim,;", "manifest-line", "names of rules"),
        (f"{'0' * 64},1,kim,dark", "manifest-line", "waive 'dark': names of rules that can be waived"),
        (f'{"0" * 64},,kim,"labeller,split-leak"', "manifest-line", "(near-conflict, labeller)"),
        (f"{'0' * 64},1,=1+1,", "formula", "formula"),
        (f"{'0' * 64},1,{'x' * 201},", "schema", "by is"),
    ],
)
def test_a_decision_that_is_none_is_refused(tmp_path, row, reason, says):
    text = f"sha256,label,by,waive\n{row}\n{'1' * 64},1,kim,\n"
    rows, refused = read(tmp_path, text, kind=REVIEW)
    assert [(q.row, q.reason) for q in refused] == [(2, reason)]
    assert says in refused[0].detail
    assert list(rows["row"]) == [3]


def test_a_checksum_alone_names_nothing_outside_of_review(tmp_path):
    with pytest.raises(UserError, match="one of source-ref"):
        read(tmp_path, f"sha256,label\n{'0' * 64},1\n")
    line = json.dumps({"sha256": "0" * 64, "k": 1, "k-metadata": {}})
    assert [q.reason for q in read(tmp_path, line, "m.manifest")[1]] == ["manifest-line"]


def test_who_labelled_is_a_slice_of_labels_and_a_column_of_review(tmp_path):
    text = "path,label,by,reason,waive\na.png,1,kim,seen,labeller\n"
    labels, _ = read(tmp_path, text)
    assert labels[["by", "reason", "waive"]].isna().all(axis=None)
    assert labels["slice:by"][0] == "kim"
    review, _ = read(tmp_path, text, kind=REVIEW)
    assert records(review, "by", "reason", "waive") == [("kim", "seen", "labeller")]
    assert "slice:by" not in review


def test_the_label_attribute_is_chosen_by_name(tmp_path):
    line = json.dumps({"source-ref": "a.png", "k": 1, "k-metadata": {}, "l": 0, "l-metadata": {}})
    assert read(tmp_path, line, "m.manifest", attribute="l")[0]["label"].tolist() == [0]


def test_a_long_file_gives_the_same_table_in_pieces(tmp_path, monkeypatch):
    lines = [
        {"source-ref": NAMES[n % 4], "k": n % 2, "k-metadata": {}, f"z{n % 3}": "x", f"a{n}": "y"} for n in range(7)
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    whole, _ = read(tmp_path, text, "m.manifest")
    monkeypatch.setattr(rows_module, "_CHUNK_ROWS", 2)
    pieces, _ = read(tmp_path, text, "m.manifest")
    pd.testing.assert_frame_equal(pieces, whole)
    assert len(whole) == 7


PARTS = st.sampled_from(["a.png", "b.png", "images", "deep", "c.png", ".", "..", "", "x", "\\", "\0", "\ud800", "é"])
REFS = st.tuples(
    st.sampled_from(["", "/", "s3://bucket/", "s3://", "file://", "./"]), st.lists(PARTS, max_size=6).map("/".join)
).map("".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("batch")
    for name in NAMES:
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).touch()
    return made


def found(function, *arguments):
    try:
        return str(function(*arguments))
    except PathRefusedError as refused:
        return refused.reason, str(refused)


@given(REFS)
def test_the_listing_and_the_disk_find_the_same_file_or_refuse_alike(folder, ref):
    assert found(Files.of(LISTING).locate, ref) == found(locate, folder, ref)


@given(st.lists(st.sampled_from(NAMES), max_size=4, unique=True), REFS)
def test_only_a_listed_path_is_ever_found(names, ref):
    where = found(Files.of(LISTING[LISTING["path"].isin(names)]).locate, ref)
    assert where in names or where[0] in ("path", "missing-file")


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        ("s3://bucket/images/a.png", "images/a.png"),
        ("s3://bucket/job/images/a.png", "images/a.png"),
        ("s3://bucket/job/other/a.png", "a.png"),
        ("s3://bucket/../a.png", "a.png"),
        ("s3://bucket/images/../a.png", "a.png"),
        ("./images//a.png", "images/a.png"),
    ],
)
def test_the_longest_end_of_a_key_is_taken(folder, ref, path):
    assert Files.of(LISTING).locate(ref) == path
    assert str(locate(folder, ref)) == path


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LINES = st.fixed_dictionaries(
    {},
    optional={
        "source-ref": REFS | st.sampled_from(NAMES),
        "k": st.sampled_from([0, 1, "game", "other", 2, None]),
        "k-metadata": st.just({}),
        "sha256": st.just("0" * 64) | TEXTS,
        "waive": st.just("labeller") | TEXTS,
        "width": st.integers() | st.floats(),
        "captured-at": st.just("2026-11-23") | TEXTS,
        "app": TEXTS,
    },
)


@given(st.lists(LINES, max_size=6), st.sampled_from(["labels", REVIEW]))
def test_every_line_ends_on_exactly_one_side(tmp_path_factory, lines, kind):
    where = tmp_path_factory.mktemp("batch")
    try:
        rows, refused = read(where, "\n".join(json.dumps(line) for line in lines), "m.manifest", kind)
    except UserError:  # of such lines the labels are never guessed
        reject()
    assert sorted([*rows["row"], *(q.row for q in refused)]) == list(range(1, len(lines) + 1))
    assert set(rows["id"]) <= {*IDS.values(), "0" * 64}
    assert set(rows["label"].dropna()) <= {0, 1}
    assert rows["row"].is_monotonic_increasing
    assert np.array_equal(rows.index, np.arange(len(rows)))
