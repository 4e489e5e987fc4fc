"""Warm starts: earlier nights' trials guide the search by rank, the defaults come first, and caching stays honest."""

import random

import pytest

from pipelines.executor.errors import DefinitionError
from pipelines.executor.search import EarlierTrial, Search, parse_ranges
from tests.pipelines.executor.conftest import properties

RANGES = {
    "ContinuousParameterRanges": [
        {"Name": "rate", "MinValue": "0.0001", "MaxValue": "0.1", "ScalingType": "Logarithmic"},
        {"Name": "momentum", "MinValue": "0.5", "MaxValue": "0.999", "ScalingType": "Linear"},
    ],
    "IntegerParameterRanges": [{"Name": "units", "MinValue": "32", "MaxValue": "64", "ScalingType": "Linear"}],
}
FIRST = {"rate": "0.003", "momentum": "0.9", "units": "48"}
SQUARE = parse_ranges(
    {"ContinuousParameterRanges": [{"Name": name, "MinValue": "0", "MaxValue": "1"} for name in ("x", "y")]}
)
CODE = """
import os
print('score=' + h['units'])
open(os.environ['SM_MODEL_DIR'] + '/model', 'w').write('weights')
"""


def warm(step, *parents, kind="TransferLearning"):
    names = [{"HyperParameterTuningJobName": name} for name in parents]
    step["Arguments"]["WarmStartConfig"] = {"ParentHyperParameterTuningJobs": names, "WarmStartType": kind}
    return step


def tried(result, step="Tune"):
    jobs = properties(result, step, "TrainingJobSummaries")
    return [job["TunedHyperParameters"] for job in sorted(jobs, key=lambda job: job["TrainingJobName"])]


def job_name(result, step="Tune"):
    return properties(result, step, "HyperParameterTuningJobName")


def asked(search, rounds=1, count=2, objective=lambda _: 0.0):
    found = []
    for _ in range(rounds):
        points = search.ask(count)
        search.tell([objective(point) for point in points])
        found += points
    return found


def searching(ranges=SQUARE, **options):
    return Search(ranges, **{"jobs": 8, "seed": 3, **options})


def night(objective, count=20, seed=11):
    """An earlier search at random, as it would be found again."""
    chance = random.Random(seed)
    points = [{"x": str(chance.random()), "y": str(chance.random())} for _ in range(count)]
    return tuple(EarlierTrial(point, objective(point)) for point in points)


def peak(point):
    return -((float(point["x"]) - 0.8) ** 2) - (float(point["y"]) - 0.2) ** 2


def test_what_is_to_be_tried_first_is_tried_first():
    first, second = asked(searching(parse_ranges(RANGES), first=[FIRST]))
    assert {name: float(value) for name, value in first.items()} == pytest.approx(
        {name: float(value) for name, value in FIRST.items()}
    )
    assert second != first


def test_what_of_it_lies_outside_of_the_ranges_is_drawn():
    (point,) = asked(searching(ranges=parse_ranges(RANGES), first=[{**FIRST, "rate": "5", "momentum": "x"}]), count=1)
    assert float(point["units"]) == 48
    assert 0.0001 <= float(point["rate"]) <= 0.1
    assert 0.5 <= float(point["momentum"]) <= 0.999


def test_more_first_trials_than_a_round_has_are_tried_in_the_next():
    firsts = [{"x": str(x), "y": "0.5"} for x in (0.1, 0.2, 0.3)]
    found = asked(searching(first=firsts), rounds=2)
    assert [float(point["x"]) for point in found[:3]] == [0.1, 0.2, 0.3]


def test_a_search_that_starts_warm_looks_where_the_earlier_one_found_something():
    """Over seeds, the first two trials of a warm search are nearer to the peak than those of a cold one."""

    def mean(**options):
        return sum(peak(p) for seed in range(8) for p in asked(searching(seed=seed, **options))) / 16

    assert mean(nights=[night(peak)]) > mean() + 0.1


def test_the_level_of_an_earlier_night_means_nothing():
    """Scores on other data may be higher or lower throughout: the proposals are the same, digit for digit."""

    def proposals(objective):
        return asked(searching(nights=[night(objective)]), rounds=3, objective=peak)

    assert proposals(peak) == proposals(lambda point: 100 + 7 * peak(point))
    assert proposals(peak) != proposals(lambda point: -peak(point))


def test_earlier_trials_outside_of_the_ranges_or_of_other_parameters_are_passed_over():
    strange = (EarlierTrial({"x": "7", "y": "0"}, 1.0), EarlierTrial({"x": "0.5"}, 1.0), EarlierTrial({"z": "1"}, 2.0))
    assert asked(searching(nights=[strange]), rounds=3) == asked(searching(), rounds=3)


def test_the_best_of_last_night_is_tried_after_what_comes_first_and_the_rest_is_learned(kit, trainer):
    step = kit.tuning("Tune", CODE, ranges=RANGES, jobs=4)
    parent = kit.run(step, images=trainer, first_trials={"Tune": [FIRST]})
    assert tried(parent)[0]["units"] == "48"
    best = properties(parent, "Tune", "BestTrainingJob.TunedHyperParameters")
    child = kit.run(
        warm(kit.tuning("Tune", CODE, ranges=RANGES, jobs=2), job_name(parent)),
        images=trainer,
        first_trials={"Tune": [FIRST]},
    )
    assert child.status == "Succeeded", child.reason
    assert [point["units"] for point in tried(child)] == ["48", best["units"]]


def test_the_trials_of_the_parents_are_part_of_what_the_cache_compares_their_name_is_not(kit, trainer):
    step = kit.tuning("Tune", CODE, ranges=RANGES, jobs=2, cache=True)
    first, other = kit.run(step, images=trainer), kit.run({**step, "CacheConfig": {"Enabled": False}}, images=trainer)
    assert job_name(first) != job_name(other)

    def child(parent):
        return kit.run(warm(kit.tuning("Tune", CODE, ranges=RANGES, jobs=2, cache=True), parent), images=trainer)

    assert not child(job_name(first)).steps["Tune"].reused
    assert "trials of earlier nights: none ->" in kit.reasons()["Tune"]
    assert child(job_name(other)).steps["Tune"].reused
    longer = kit.run(kit.tuning("Tune", CODE, ranges=RANGES, jobs=4), images=trainer)
    assert not child(job_name(longer)).steps["Tune"].reused


def test_a_parameter_names_the_parent_and_a_reused_tuning_is_found_by_the_name_it_kept(kit, trainer):
    step = kit.tuning("Tune", CODE, ranges=RANGES, jobs=2, cache=True)
    kit.run(step, images=trainer)
    reused = kit.run(step, images=trainer)
    assert reused.steps["Tune"].reused
    result = kit.run(
        warm(kit.tuning("Tune", CODE, ranges=RANGES, jobs=2), kit.get("Parameters.Parent")),
        images=trainer,
        declared=[{"Name": "Parent", "Type": "String"}],
        parameters={"Parent": job_name(reused)},
    )
    assert result.status == "Succeeded", result.reason


def test_a_parent_that_is_not_there_fails_the_step_and_says_so(kit, trainer):
    kit.run(kit.writes("Other"))
    result = kit.run(warm(kit.tuning("Tune", CODE, ranges=RANGES), "pipelines-gone-Tune"), images=trainer)
    assert result.status == "Failed"
    assert "the parent tuning job 'pipelines-gone-Tune' is not in" in result.reason


def test_what_would_mean_something_else_on_sagemaker_is_refused(kit, trainer):
    tuning = {"ranges": RANGES, "jobs": 2}
    with pytest.raises(DefinitionError, match="WarmStartType is 'IdenticalDataAndAlgorithm', which does not run"):
        kit.executor(warm(kit.tuning("T", CODE, **tuning), "a", kind="IdenticalDataAndAlgorithm"), images=trainer)
