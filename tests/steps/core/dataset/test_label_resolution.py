"""Settling labels: nothing is lost, reviewers go first, and the order of those who agree does not matter."""

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.dataset.label_resolution import settle_labels
from steps.core.dataset.labels import LabelledRow, read_labels
from steps.core.dataset.rows import no_rows
from tests.steps.drawn import CLASSES

IDS = ("p", "q", "r", "s")


def table(rows):
    """Make the table of (kind, id, label or None, names a file, waive or None); batch and row count on."""
    frame = pd.DataFrame(
        [
            {
                "batch": f"b-{number // 3}",
                "row": number % 3 + 1,
                "source_ref": f"{screenshot}.png" if file else screenshot,
                "path": f"{screenshot}.png" if file else None,
                "id": screenshot,
                "label": label,
                "group": f"g{number}",
                "by": "Ada" if kind == "review" else None,
                "reason": None,
                "waive": waive,
                "kind": kind,
            }
            for number, (kind, screenshot, label, file, waive) in enumerate(rows)
        ],
        columns=[*no_rows().columns, "kind"],
    )
    texts = [name for name in frame if name not in ("row", "label")]
    return frame.astype({"row": "int64", "label": "Int8", **dict.fromkeys(texts, "str")})


LABELS = st.integers(0, 1)
ORDINARY = st.tuples(st.just("labels"), st.sampled_from(IDS), LABELS, st.just(value=True), st.none())
LABELLED = st.tuples(st.just("review"), st.sampled_from(IDS), LABELS, st.booleans(), st.none())
WAIVING = st.tuples(
    st.just("review"),
    st.sampled_from(IDS),
    st.none() | LABELS,
    st.booleans(),
    st.sampled_from(["near-conflict", "labeller", "labeller, near-conflict"]),
)
ROWS = st.lists(ORDINARY | LABELLED | WAIVING, max_size=14)


def labels_of(labelling):
    return dict(zip(labelling.rows["id"], labelling.rows["label"], strict=True))


@given(ROWS)
def test_whatever_the_rows_nothing_is_lost_and_reviewers_go_first(rows):
    # One table and one labelling for all of it: building them is what takes the time.
    frame = table(rows)
    labelling = settle_labels(frame)
    every_row_is_accepted_or_refused_or_a_decision(frame, labelling)
    no_screenshot_stands_twice_and_all_keep_the_order_of_adding(labelling.rows)
    a_label_is_that_of_the_last_reviewer_or_one_that_nobody_contradicts(rows, labelling)
    all_waivers_for_a_screenshot_count_together(rows, labelling)
    what_is_settled_stays_as_it_is(labelling.rows)


def every_row_is_accepted_or_refused_or_a_decision(frame, labelling):
    accepted, refused = set(labelling.rows.index), set(labelling.refused)
    assert not accepted & refused
    assert accepted | refused <= set(frame.index)
    rest = frame.drop(index=[*accepted, *refused])
    assert (rest["kind"] == "review").all()
    assert set(rest.loc[rest["label"].notna(), "id"]) <= set(labelling.rows["id"])


def no_screenshot_stands_twice_and_all_keep_the_order_of_adding(settled):
    assert settled["id"].is_unique
    assert settled.index.is_monotonic_increasing
    assert settled["label"].dtype == "int64"
    assert settled["path"].notna().all()


def a_label_is_that_of_the_last_reviewer_or_one_that_nobody_contradicts(rows, labelling):
    for screenshot, label in labels_of(labelling).items():
        decided = [
            given for kind, who, given, *_ in rows if (kind, who) == ("review", screenshot) and given is not None
        ]
        ordinary = {given for kind, who, given, *_ in rows if (kind, who) == ("labels", screenshot)}
        assert label == decided[-1] if decided else ordinary == {label}
        assert (screenshot in labelling.reviewed) == bool(decided)


@given(ROWS, st.sampled_from(IDS), LABELS)
def test_a_later_review_wins(rows, screenshot, label):
    known = {row[1] for row in rows if row[3] and row[2] is not None}
    labelling = settle_labels(table([*rows, ("review", screenshot, label, False, None)]))
    assert labels_of(labelling).get(screenshot) == (label if screenshot in known else None)


@given(st.lists(ORDINARY, max_size=12), st.randoms())
def test_the_order_of_labels_that_agree_does_not_matter(rows, random):
    agreed = [(kind, who, IDS.index(who) % 2, *rest) for kind, who, _, *rest in rows]
    shuffled = random.sample(agreed, len(agreed))
    one, other = settle_labels(table(agreed)), settle_labels(table(shuffled))
    assert labels_of(one) == labels_of(other)
    assert Counter(reason for reason, _ in one.refused.values()) == Counter({"duplicate": len(rows) - len(one.rows)})
    assert len(one.refused) == len(other.refused)


def what_is_settled_stays_as_it_is(once):
    twice = settle_labels(once)
    pd.testing.assert_frame_equal(twice.rows, once)
    assert twice.refused == {}


def all_waivers_for_a_screenshot_count_together(rows, labelling):
    wanted = {}
    for kind, screenshot, _, _, waive in rows:
        if kind == "review" and waive:
            wanted.setdefault(screenshot, set()).update(name.strip() for name in waive.split(","))
    assert labelling.waived == wanted


@pytest.mark.parametrize(
    ("rows", "refused"),
    [
        ([("labels", 1), ("labels", 1)], {1: "duplicate"}),
        ([("labels", 1), ("labels", 0)], {0: "label-conflict", 1: "label-conflict"}),
        ([("labels", 1), ("labels", 0), ("review", 1)], {1: "superseded"}),
        ([("labels", 1), ("labels", 0), ("review", 0)], {1: "duplicate"}),
        ([("labels", 1), ("review", 0), ("review", 1)], {}),
    ],
)
def test_a_row_is_refused_for_what_became_of_its_label(rows, refused):
    labelling = settle_labels(table([(kind, "p", label, kind == "labels", None) for kind, label in rows]))
    assert {index: reason for index, (reason, _) in labelling.refused.items()} == refused


def test_a_decision_keeps_the_facts_of_the_first_ordinary_row():
    labelling = settle_labels(
        table([("review", "p", 1, True, None), ("labels", "p", 0, True, None), ("labels", "p", 0, True, None)])
    )
    assert labelling.rows[["group", "kind", "label"]].to_numpy().tolist() == [["g1", "labels", 1]]


def test_a_refusal_names_the_row_that_counts_and_who_overruled():
    rows = [("labels", "p", 0, True, None), ("labels", "p", 0, True, None), ("labels", "p", 1, True, None)]
    refused = settle_labels(table([*rows, ("review", "p", 0, False, None)])).refused
    assert refused[1] == ("duplicate", "the same bytes as row 1 of batch b-0")
    assert refused[2] == ("superseded", "Ada decided otherwise")


@pytest.mark.parametrize("waive", ["dark", "split-leak", "near-conflict,dark", "near_conflict", "labeller,"])
def test_a_rule_that_cannot_be_waived_refuses_its_row(tmp_path, waive):
    (tmp_path / "l.csv").write_text(f'sha256,label,waive\n{"a" * 64},1,"{waive}"\n{"b" * 64},,labeller\n')
    refused, good = read_labels(tmp_path, "l.csv", CLASSES, review=True)
    assert (refused.row, refused.reason) == (2, "manifest-line")
    assert refused.detail == (
        f"waive {waive!r}: names of rules that can be waived (near-conflict, labeller) with commas between are wanted"
    )
    assert good == LabelledRow(3, "b" * 64, None, {}, "b" * 64, {"waive": "labeller"})
