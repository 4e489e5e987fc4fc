"""Reducers: what each formula says, one screenshot at a time, and what they refuse."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.common.choices import REDUCERS
from steps.core.common.errors import UserError
from steps.network.reducer import Reducer

VALUES = st.floats(-30, 30)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def noisy_or(squares):
    none = sum(-math.log1p(math.exp(z)) for z in squares)
    return math.log(-math.expm1(none)) - none


def attention(squares, weights):
    total = sum(math.exp(a) for a in weights)
    return sum(math.exp(a) / total * z for z, a in zip(squares, weights, strict=True))


# A screenshot's squares by the formulae of the module's docstring, in plain Python.
BY_HAND = {
    "mean": lambda z, _: sum(z) / len(z),
    "blend": lambda z, more: sum(z) / len(z) + max(more),
    "max": lambda z, _: max(z),
    "noisy-or": lambda z, _: noisy_or(z),
    "lse": lambda z, _: math.log(sum(math.exp(4 * x) for x in z) / len(z)) / 4,
    "top2": lambda z, _: sum(sorted(z)[-2:]) / len(z[-2:]),
    "attention": attention,
}


@st.composite
def bags(draw):
    return draw(st.lists(st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=2, max_size=6), min_size=1, max_size=5))


def arrays(drawn, kind):
    evidence = np.array([row for bag in drawn for row in bag])[:, : Reducer(kind).columns]
    index = np.concatenate([np.arange(len(bag)) for bag in drawn])
    screenshot = np.repeat(np.arange(len(drawn)), [len(bag) for bag in drawn])
    return evidence, index, screenshot


@pytest.mark.parametrize("kind", REDUCERS)
@given(drawn=bags())
def test_a_logit_is_the_mean_of_the_overviews_and_the_squares(kind, drawn):
    found = Reducer(kind).logits(*arrays(drawn, kind))
    share = 1 / 3 if kind == "blend" else 1 / 2
    expected = [share * (b[0][0] + BY_HAND[kind]([t[1] for t in b[1:]], [t[2] for t in b[1:]])) for b in drawn]
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", REDUCERS)
@given(drawn=bags(), data=st.data())
def test_the_order_of_the_squares_does_not_matter(kind, drawn, data):
    shuffled = [[bag[0], *data.draw(st.permutations(bag[1:]))] for bag in drawn]
    ours, theirs = (Reducer(kind).logits(*arrays(b, kind)) for b in (drawn, shuffled))
    assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", REDUCERS)
@pytest.mark.parametrize("row", [0, 1, 2, 3])
def test_one_tile_that_is_no_number_makes_its_screenshot_none_and_no_other(kind, row):
    reducer = Reducer(kind)
    evidence = np.ones((8, reducer.columns))
    evidence[row] = np.nan
    scores = reducer.scores(evidence, np.array([0, 1, 2, 3] * 2), np.repeat([0, 1], 4))
    assert np.isnan(scores).tolist() == [True, False]


def test_a_score_is_the_calibrated_logit():
    reducer = Reducer("mean", 0.5, -1.0)
    assert reducer.scores([[2.0, 0.0], [0.0, 4.0]], np.array([0, 1]), np.array([0, 0])) == pytest.approx(sigmoid(0.5))
    shown = reducer.tile_scores(np.array([[2.0, 9.0], [9.0, 4.0]]), np.array([0, 1]))
    assert shown == pytest.approx([sigmoid(0.0), sigmoid(1.0)])


@pytest.mark.parametrize("index", [[1, 2], [0, 0], [0]])
def test_a_screenshot_without_overview_or_squares_is_refused(index):
    with pytest.raises(UserError, match="lacks its overview or its squares"):
        Reducer("max").logits(np.zeros((len(index), 2)), np.array(index), np.zeros(len(index), int))


def test_evidence_of_another_reducer_is_refused():
    with pytest.raises(UserError, match="shape"):
        Reducer("attention").logits(np.zeros((2, 2)), np.array([0, 1]), np.array([0, 0]))


def test_a_reducer_is_read_as_it_was_written(tmp_path):
    Reducer("lse", 0.7, -0.2).write(tmp_path)
    assert Reducer.read(tmp_path) == Reducer("lse", 0.7, -0.2)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"version": 1, "kind": "median", "scale": 1, "offset": 0}, "one of blend"),
        ({"version": 1, "kind": "max", "scale": -1, "offset": 0}, "does not rise"),
        ({"version": 1, "kind": "max", "scale": "x", "offset": 0}, "no number"),
        ({"version": 2, "kind": "max", "scale": 1, "offset": 0}, "another form"),
        ([], "another form"),
    ],
)
def test_what_is_no_reducer_is_refused(value, says):
    with pytest.raises(UserError, match=says):
        Reducer.from_dict(value)
