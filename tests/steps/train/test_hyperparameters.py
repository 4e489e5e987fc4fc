"""Hyperparameters as they arrive: strings with dashed names, each checked, and named when it is wrong."""

from dataclasses import fields

import pytest

from steps.core.common.choices import BACKBONES
from steps.core.common.errors import UserError
from steps.train.hyperparameters import Hyperparameters


def test_hyperparameters_arrive_as_strings():
    parsed = Hyperparameters.parse({"batch-size": "16", "augment": "0.25", "backbone": "large", "_tuning": "x"})
    assert (parsed.batch_size, parsed.augment, parsed.backbone) == (16, 0.25, "large")
    assert Hyperparameters.parse({k: str(v) for k, v in parsed.to_dict().items()}) == parsed


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("batch-sice", "3", "unknown hyperparameter"),
        ("batch-size", "3.5", "a whole number"),
        ("batch-size", "0", "from 1 to 4096"),
        ("augment", "nan", "a number is wanted"),
        ("augment", "", "a number is wanted"),
        ("fine-tune-learning-rate", "-1", "from 1e-07"),
    ],
)
def test_bad_hyperparameters_are_named(name, value, says):
    with pytest.raises(UserError, match=says):
        Hyperparameters.parse({name: value})


def test_every_choice_can_be_given():
    for name, choices in (("backbone", BACKBONES),):
        for choice in choices:
            assert getattr(Hyperparameters.parse({name: choice}), name) == choice
        with pytest.raises(UserError, match=f"{name}='nothing': one of {choices[0]}, "):
            Hyperparameters.parse({name: "nothing"})


def test_every_default_lies_within_its_own_bounds():
    settings = Hyperparameters()
    assert Hyperparameters.parse({name: str(value) for name, value in settings.to_dict().items()}) == settings
    for one in fields(Hyperparameters):
        if "bounds" in one.metadata:
            low, high = one.metadata["bounds"]
            assert low <= getattr(settings, one.name) <= high


def test_the_platforms_own_names_are_passed_over():
    given = {"sagemaker_program": "x", "_tuning_objective_metric": "y", "seed": "3"}
    assert Hyperparameters.parse(given) == Hyperparameters(seed=3)
    with pytest.raises(UserError, match="an object of names and values"):
        Hyperparameters.parse(["seed"])
