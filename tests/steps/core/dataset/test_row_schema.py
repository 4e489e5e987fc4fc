"""The schema of labelled rows: what a column may hold, and which row is refused for which value."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.dataset.row_schema import TEXT_COLUMNS, Failure, check_rows


def rows(**columns):
    """Three good rows, of which the named columns are replaced."""
    frame = pd.DataFrame(
        {
            "row": pd.Series([1, 2, 3], dtype="int64"),
            "source_ref": pd.Series(["a.png", "b.png", "c.png"], dtype="str"),
            "label": pd.Series([0, 1, 0], dtype="int8"),
            "by": pd.Series([None, None, None], dtype="str"),
            "reason": pd.Series([None, None, None], dtype="str"),
        }
    )
    return frame.assign(**{name.replace("_at", "-at"): values for name, values in columns.items()})


def texts(*values):
    return pd.Series(values, dtype="str")


def test_good_rows_stay_as_they_are():
    frame = rows(**{"slice:width": texts("1080", None, "2400.0"), "slice:note": texts("x" * 5000, "", None)})
    kept, failures = check_rows(frame)
    pd.testing.assert_frame_equal(kept, frame)
    assert failures == []


def test_a_failing_row_goes_and_its_column_value_and_wish_are_told():
    frame = rows(**{"slice:width": texts("1080", "wide", "1080")})
    frame.index = [10, 20, 30]
    kept, failures = check_rows(frame)
    assert list(kept.index) == [10, 30]
    assert failures == [Failure(20, "slice:width", "wide", "a whole number of pixels above 0")]


def test_every_failing_value_is_told_in_the_order_of_the_rows():
    frame = rows(**{"slice:width": texts("1", "0", "x"), "slice:height": texts("1", "1", "y")})
    kept, failures = check_rows(frame)
    assert len(kept) == 1
    assert [(f.index, f.column, f.value) for f in failures] == [
        (1, "slice:width", "0"),
        (2, "slice:width", "x"),
        (2, "slice:height", "y"),
    ]


GOOD = {
    "sha256": ["0" * 64, "Ab" * 32],
    "width": ["1", "1080", "1080.0", "999999999"],
    "height": ["2400"],
    "confidence": ["0", "1", "0.5", "1e-3", "1.0"],
    "captured-at": [
        "2026-11-23",
        "2026-11-23T21:48",
        "2026-11-23T21:48:33Z",
        "2026-11-23 21:48:33.123456",
        "2026-11-23T21:48:33+05:30",
        "1999-02-28",
        "2024-02-29",
    ],
    **{name: ["de-DE", "x" * 200] for name in TEXT_COLUMNS},
}
BAD = {
    "sha256": ["0" * 63, "0" * 65, "g" * 64, "0" * 64 + "\n", "sha256:" + "0" * 57],
    "width": ["0", "-1", "1.5", "1e3", "9" * 10, "wide", "0x10", "\u0661"],
    "height": ["0.0", "1080px"],
    "confidence": ["-0.1", "1.1", "93 %", "nan", "inf", "high"],
    "captured-at": [
        "2026-02-30",
        "2026-13-01",
        "2026",
        "20261123",
        "23.11.2026",
        "11/23/2026",
        "2026-11-23T25:00",
        "2026-11-23T21:48:33Z; x",
        "yesterday",
        "1700000000",
    ],
    **{name: ["x" * 201] for name in TEXT_COLUMNS},
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_a_known_column_takes_its_values(name, value):
    assert check_rows(rows(**{f"slice:{name}": texts(value, None, value)}))[1] == []


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_known_column_refuses_other_values(name, value):
    kept, failures = check_rows(rows(**{f"slice:{name}": texts(None, value, None)}))
    assert [(f.index, f.column, f.value) for f in failures] == [(1, f"slice:{name}", value)]
    assert list(kept.index) == [0, 2]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("row", pd.Series([1, 0, 3], dtype="int64")),
        ("source_ref", texts("a.png", "", "c.png")),
        ("source_ref", texts("a.png", "x" * 1025, "c.png")),
        ("source_ref", texts("a.png", None, "c.png")),
        ("label", pd.Series([0, 2, 1], dtype="int8")),
        ("label", pd.Series([None, -1, 1], dtype="Int8")),
        ("by", texts(None, "x" * 201, None)),
        ("reason", texts(None, "x" * 2001, None)),
    ],
)
def test_the_columns_of_every_row_have_their_bounds(column, values):
    kept, failures = check_rows(rows(**{column: values}))
    assert [(f.index, f.column) for f in failures] == [(1, column)]
    assert list(kept.index) == [0, 2]


def test_times_in_different_zones_may_stand_in_one_column():
    values = texts("2026-11-23T21:48:33Z", "2026-11-23T21:48:33+05:30", "2026-11-23")
    assert check_rows(rows(**{"slice:captured-at": values}))[1] == []


@pytest.mark.parametrize("frame", [rows().drop(columns="label"), rows(source_ref=pd.Series([1, 2, 3]))])
def test_a_table_of_another_form_is_the_callers_mistake(frame):
    with pytest.raises((KeyError, AttributeError)):
        check_rows(frame)


def test_a_table_without_rows_is_good():
    kept, failures = check_rows(rows()[:0])
    assert (len(kept), failures) == (0, [])


@given(
    st.lists(st.tuples(st.none() | st.text(max_size=12), st.none() | st.integers().map(str)), min_size=1, max_size=8)
)
def test_each_row_is_kept_or_has_a_failure(values):
    frame = pd.DataFrame({"row": range(1, len(values) + 1), "source_ref": "a.png", "label": 1, "by": "x"})
    frame = frame.assign(reason="x", **{"slice:app": texts(*(v for v, _ in values))})
    frame["slice:width"] = texts(*(v for _, v in values))
    kept, failures = check_rows(frame)
    bad = {f.index for f in failures}
    assert bad.isdisjoint(kept.index)
    assert bad | set(kept.index) == set(frame.index)
    assert bad == {at for at, (_, width) in enumerate(values) if width is not None and not 0 < int(width) < 10**9}
