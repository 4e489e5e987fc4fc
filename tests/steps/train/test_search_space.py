"""The table of what is tuned: every name is a hyperparameter, every range and default is one that training accepts."""

import pytest

from steps.train.hyperparameters import LOGARITHMIC, TUNED, Hyperparameters, first_trials


@pytest.mark.parametrize("tuned", TUNED, ids=lambda tuned: tuned.name)
def test_a_range_is_one_that_training_accepts_to_its_ends(tuned):
    assert tuned.low < tuned.high
    assert tuned.scale != LOGARITHMIC or tuned.low > 0
    for value in (tuned.low, tuned.high):
        parsed = Hyperparameters.parse({tuned.name: tuned.text(value, value)}).to_dict()
        assert parsed[tuned.name] == value


@pytest.mark.parametrize("tuned", TUNED, ids=lambda tuned: tuned.name)
def test_the_default_lies_within_the_range_so_that_it_can_be_tried(tuned):
    assert tuned.low <= tuned.default <= tuned.high


def test_names_are_there_once():
    assert len({tuned.name for tuned in TUNED}) == len(TUNED)


def test_a_search_begins_with_what_training_does_untold_and_with_both_phases():
    alone, both = first_trials()
    assert Hyperparameters.parse(alone) == Hyperparameters()
    assert Hyperparameters.parse(both).fine_tune_blocks > 0


def test_a_default_outside_of_moved_bounds_becomes_the_nearest_end():
    trial = first_trials({"fine-tune-learning-rate": (2e-3, 1e-2)})[0]
    assert trial == {**first_trials()[0], "fine-tune-learning-rate": "0.002"}
