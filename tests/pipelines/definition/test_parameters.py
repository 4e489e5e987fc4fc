"""The table of parameters: its choices and defaults are the steps' own, and wrong values are refused at the start."""

import pytest

from pipelines.definition.parameters import (
    CHAMPION_RULES,
    SAMPLE_PARAMETERS,
    STATIC,
    check_parameters,
    first_trials,
    pipeline_parameters,
)
from pipelines.definition.settings import Settings
from steps.convert.variants import MAX_FLIPPED
from steps.core.common.errors import UserError
from steps.core.gate.limits import ChampionRule, Fleet, Limits
from steps.train.hyperparameters import TUNED, Hyperparameters

DEFAULTS = {parameter.name: parameter.default for parameter in pipeline_parameters(Settings())}


def test_defaults_are_the_gates_own():
    limits, fleet = Limits(), Fleet()
    gate = {
        "MaxFpr": limits.max_fpr,
        "MinTpr": limits.min_tpr,
        "ChampionRule": limits.champion_rule,
        "MaxFprIncrease": limits.max_fpr_increase,
        "MaxTprDecrease": limits.max_tpr_decrease,
        "Phones": fleet.phones,
        "ScreenshotsPerDay": fleet.screenshots_per_day,
        "ReviewSeconds": fleet.seconds_per_review,
    }
    assert {name: DEFAULTS[name] for name in gate} == gate
    assert DEFAULTS["MaxFlipped"] == MAX_FLIPPED
    assert list(CHAMPION_RULES) == list(ChampionRule)


def test_what_is_tuned_is_fixed_nowhere_else():
    """SageMaker refuses a hyperparameter that is static and tuned."""
    assert not {tuned.name for tuned in TUNED} & set(STATIC)
    assert {tuned.name for tuned in TUNED} | set(STATIC) <= Hyperparameters().to_dict().keys()


def test_the_defaults_and_the_samples_parameters_are_accepted():
    check_parameters(DEFAULTS)
    check_parameters({**DEFAULTS, **SAMPLE_PARAMETERS})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MaxFpr", 0.0, "max-fpr 0.0"),
        ("MaxFprIncrease", -0.1, "max-fpr-increase -0.1"),
        ("MaxTprDecrease", 1.0, "max-tpr-decrease 1.0"),
        ("ChampionRule", "none", "champion-rule 'none'"),
        ("Phones", 0, "phones 0"),
        ("ScreenshotsPerDay", 0.0, "screenshots-per-day 0.0"),
        ("ReviewSeconds", float("inf"), "seconds-per-review inf"),
        ("MaxFlipped", 1.5, "MaxFlipped 1.5"),
        ("Variants", "float32,float8", "variant 'float8'"),
        ("Variants", " ,", "no variant is wanted"),
        ("FineTuneEpochs", -1, "fine-tune-epochs=-1"),
        ("LearningRateMin", 0.0, "fine-tune-learning-rate=0.0"),
        ("LearningRateMax", 1e-5, "LearningRateMin 1e-05 is not below LearningRateMax 1e-05"),
        ("MaxTuningJobs", 0, "MaxTuningJobs 0"),
    ],
)
def test_a_value_that_a_step_would_refuse_is_refused_before_it_starts(name, value, said):
    with pytest.raises(UserError) as refused:
        check_parameters({**DEFAULTS, name: value})
    assert said in str(refused.value)


def test_a_search_begins_with_the_defaults_as_far_as_the_bounds_allow():
    assert [trial["fine-tune-blocks"] for trial in first_trials(DEFAULTS)] == ["0", "2"]
    first, _ = first_trials({**DEFAULTS, "LearningRateMin": 0.01, "LearningRateMax": 0.1})
    assert float(first["fine-tune-learning-rate"]) == 0.01
