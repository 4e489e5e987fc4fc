"""Labellers who contradict the others, and labels that changed."""

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from steps.validate.label_agreement import Changes, label_changes, labeller_agreement

HONEST = ["ann", "ben", "cat", "dan"]


def labelled(seed, screenshots=400, *, votes=2, poisoned=0.5, always=False):
    """Labels of four honest labellers, wrong in 3 %, and of "eve", wrong in a share of `poisoned`."""
    rng = np.random.default_rng(seed)
    names, rows = [*HONEST, "eve"], []
    for number in range(screenshots):
        true = int(rng.random() < 0.4)
        chosen = ["eve", *rng.choice(HONEST, votes - 1, replace=False)] if always else rng.choice(names, votes, False)
        for name in chosen:
            wrong = rng.random() < (poisoned if name == "eve" else 0.03)
            rows.append((str(name), f"s{number}", true ^ int(wrong), False))
    return pd.DataFrame(rows, columns=["labeller", "id", "label", "is_review"])


def given(**columns):
    """Return rows of ordinary labels."""
    return pd.DataFrame(columns | {"is_review": False})


def flagged(labellers):
    return set(labellers.index[labellers["flagged"]])


@pytest.mark.parametrize("votes", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_a_poisoned_labeller_is_found_and_honest_ones_are_not(seed, votes):
    assert flagged(labeller_agreement(labelled(seed, votes=votes))) == {"eve"}


@pytest.mark.parametrize("seed", range(5))
def test_whoever_shares_every_screenshot_with_a_poisoned_labeller_is_not_flagged_for_it(seed):
    found = labeller_agreement(labelled(seed, always=True))
    assert flagged(found) == {"eve"}
    assert found.loc[HONEST, "compared"].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_honest_labellers_alone_are_not_flagged(seed):
    found = labeller_agreement(labelled(seed, poisoned=0.03))
    assert flagged(found) == set()
    assert (found["agreed"] / found["compared"] > 0.85).all()


@pytest.mark.parametrize(("contradictions", "agreements", "count"), [(9, 0, 0), (10, 0, 2), (5, 5, 2), (4, 6, 0)])
def test_little_evidence_flags_nobody(contradictions, agreements, count):
    common = contradictions + agreements
    labels = [0, 1] * contradictions + [1, 1] * agreements
    rows = given(labeller=["a", "b"] * common, id=np.repeat(np.arange(common), 2), label=labels)
    assert len(flagged(labeller_agreement(rows))) == count


def test_two_who_contradict_each_other_are_both_flagged_because_nothing_tells_who_is_wrong():
    rows = given(labeller=["a", "b"] * 50, id=np.repeat(np.arange(50), 2), label=[0, 1] * 50)
    assert flagged(labeller_agreement(rows)) == {"a", "b"}


def test_a_reviewer_counts_as_the_truth_against_a_majority():
    votes = [(name, number, 1, False) for number in range(30) for name in ("a", "b")]
    truth = [("r", number, 0, True) for number in range(30)]
    honest = [("c", number, 0, False) for number in range(30)]
    rows = pd.DataFrame(votes + truth + honest, columns=["labeller", "id", "label", "is_review"])
    found = labeller_agreement(rows)
    assert found.index.tolist() == ["a", "b", "c"]
    assert (found["agreed"]["a"], found["agreed"]["c"], found["compared"]["c"]) == (0, 30, 30)


def test_a_tie_of_the_others_a_missing_name_and_a_missing_label_are_no_evidence():
    rows = given(labeller=["a", "b", "c", None, "d"], id=["x"] * 5, label=[1, 1, 0, 0, None])
    assert labeller_agreement(rows)["compared"].to_dict() == {"a": 0, "b": 0, "c": 1}


def test_without_labels_there_is_no_labeller():
    assert labeller_agreement(given(labeller=[], id=[], label=[]).astype({"is_review": bool})).empty


@hypothesis.given(st.integers(0, 1000))
def test_the_order_of_screenshots_does_not_matter(seed):
    rows = labelled(seed, 40)
    mixed = rows.sample(frac=1, random_state=seed)
    assert labeller_agreement(rows).equals(labeller_agreement(mixed))


def test_changes_are_counted_among_screenshots_that_both_sides_know():
    before = pd.Series({"a": 0, "b": 1, "c": 1, "gone": 1})
    after = pd.Series({"new": 0, "c": 0, "b": 1, "a": 1})
    assert label_changes(before, after) == Changes(("a", "c"), (), 4)


def test_nothing_before_means_nothing_changed():
    nothing = pd.Series({}, dtype="int64")
    assert label_changes(nothing, pd.Series({"a": 1})) == Changes((), (), 0)


def test_a_repeated_id_is_refused():
    with pytest.raises(ValueError, match="occurs twice"):
        label_changes(pd.Series([0, 1], index=["a", "a"]), pd.Series({"a": 1}))


def test_a_contested_screenshot_loses_the_label_that_it_had():
    before, after = pd.Series({"a": 0, "b": 1, "gone": 1}), pd.Series({"a": 0})
    assert label_changes(before, after, frozenset({"b", "never there", "a"})) == Changes((), ("b",), 3)
