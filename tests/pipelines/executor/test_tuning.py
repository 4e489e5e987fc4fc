"""Tuning: the same seed proposes the same trials, failures are trials too, and the best one is found."""

import errno
import json
import random

from pipelines.executor.job import stage
from pipelines.executor.search import Search, parse_ranges
from tests.pipelines.executor.conftest import properties

RANGES = {
    "ContinuousParameterRanges": [
        {"Name": "rate", "MinValue": "0.0001", "MaxValue": "0.1", "ScalingType": "Logarithmic"},
        {"Name": "momentum", "MinValue": "0.5", "MaxValue": "0.999", "ScalingType": "Linear"},
    ],
    "IntegerParameterRanges": [{"Name": "units", "MinValue": "32", "MaxValue": "64", "ScalingType": "Linear"}],
}
POINTS = [{"a": a, "b": b} for a in "123" for b in "01"]
# The score is the units; the time it takes is not in the order of the trials.
CODE = """
import json, os, pathlib, random, time
time.sleep(random.random() / 10)
pathlib.Path(os.environ['SM_MODEL_DIR'], 'h.json').write_text(json.dumps(h))
print('cpus', os.environ['SM_NUM_CPUS'])
print('score=' + h.get('units', h.get('a', '')))
"""


def proposals(result, step="Tune"):
    jobs = properties(result, step, "TrainingJobSummaries")
    return [job["TunedHyperParameters"] for job in sorted(jobs, key=lambda job: job["TrainingJobName"])]


def test_the_same_seed_proposes_the_same_trials_whatever_the_timing(kit, trainer):
    """Rounds are asked and told in order; bounds and types hold, and values are text."""
    step = kit.tuning("Tune", CODE, ranges=RANGES, jobs=5, parallel=2)
    first, second = kit.run(step, images=trainer), kit.run(step, images=trainer)
    assert first.status == "Succeeded", first.reason
    assert proposals(first) == proposals(second)
    other = kit.run(kit.tuning("Tune", CODE, ranges=RANGES, jobs=5, parallel=2, seed=8), images=trainer)
    assert proposals(first) != proposals(other)
    for tuned in proposals(first):
        assert set(map(type, tuned.values())) == {str}
        assert 0.0001 <= float(tuned["rate"]) <= 0.1
        assert 0.5 <= float(tuned["momentum"]) <= 0.999
        assert 32 <= int(tuned["units"]) <= 64


def test_the_best_trial_comes_first(kit):
    step, options = kit.listed("Tune", CODE, POINTS, parallel=3)
    result = kit.run(step, **options)
    summaries = properties(result, "Tune", "TrainingJobSummaries")
    values = [job["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for job in summaries]
    assert values == [3, 3, 2, 2, 1, 1]
    assert proposals(result) == POINTS
    assert properties(result, "Tune", "BestTrainingJob") == summaries[0]


def test_the_best_trial_can_be_referred_to(kit):
    """BestTrainingJob.TunedHyperParameters and its model, also when the tuning is reused."""
    tune, options = kit.listed("Tune", CODE, POINTS[::2], cache=True)
    top = kit.join("s3://b/models", kit.get("Steps.Tune.BestTrainingJob.TrainingJobName"), "output/model.tar.gz")
    use = kit.processing(
        "Use",
        "import sys, tarfile; print(tarfile.open('../processing/input/top/model.tar.gz').getnames(), sys.argv[1])",
        inputs={"top": top},
        arguments=[kit.get("Steps.Tune.BestTrainingJob.TunedHyperParameters['a']")],
        outputs=(),
    )
    for reused in (False, True):
        result = kit.run(tune, use, **options)
        assert result.status == "Succeeded", result.reason
        assert result.steps["Tune"].reused is reused
        assert kit.log(result, "Use").strip() == "['h.json'] 3"


def test_static_hyperparameters_reach_every_trial_and_cores_are_shared(kit):
    import os

    step, options = kit.listed("Tune", CODE, POINTS[:3], parallel=2)
    step["Arguments"]["TrainingJobDefinition"]["StaticHyperParameters"] = {"epochs": "3"}
    result = kit.run(step, **options, max_parallel=2)
    for folder in (result.run_dir / "steps" / "Tune" / "trials").iterdir():
        assert json.loads((folder / "opt/ml/model/h.json").read_text())["epochs"] == "3"
        assert f"cpus {max(1, os.cpu_count() // 2)}" in (folder / "log.txt").read_text()


def test_failed_silent_and_nan_trials_are_failed_ones(kit):
    """They are listed last with their reason; the best of the others is the result."""
    code = (
        "a = h['a']\n"
        "if a == '1': print('score=nan')\n"
        "if a == '2': raise SystemExit('broken')\n"
        "if a == '3': print('score=3')"
    )
    step, options = kit.listed("Tune", code, [{"a": a} for a in "0123"])
    result = kit.run(step, **options)
    assert result.status == "Succeeded", result.reason
    best, *failed = properties(result, "Tune", "TrainingJobSummaries")
    assert (best["TrainingJobStatus"], best["TunedHyperParameters"]) == ("Completed", {"a": "3"})
    reasons = {job["TunedHyperParameters"]["a"]: job["FailureReason"] for job in failed}
    assert reasons["0"] == "the job printed no score: the objective must be a finite number in its log"
    assert reasons["1"].startswith("the job printed nan as its score")
    assert reasons["2"] == "exit code 1: broken"
    told = {event.hyperparameters["a"]: (event.status, event.objective) for event in kit.told("TrialFinished")}
    assert told == {"0": ("Failed", None), "1": ("Failed", None), "2": ("Failed", None), "3": ("Completed", 3.0)}


def test_what_fails_on_this_machine_for_one_trial_costs_that_trial_alone(kit, monkeypatch):
    def failing(job, root, store):
        if root.name.endswith("002"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return stage(job, root, store)

    monkeypatch.setattr("pipelines.executor.runner.stage", failing)
    step, options = kit.listed("Tune", CODE, POINTS[:3])
    assert kit.run(step, **options).status == "Succeeded"
    ended = {event.trial_name[-3:]: (event.status, event.reason) for event in kit.told("TrialFinished")}
    assert ended.pop("002") == ("Failed", f"this machine failed: [Errno {errno.ENOSPC}] No space left on device")
    assert [status for status, _ in ended.values()] == ["Completed", "Completed"]


def test_a_tuning_without_any_good_trial_fails_with_the_first_reason(kit):
    step, options = kit.listed("Tune", "raise SystemExit('no GPU')", POINTS[:3])
    result = kit.run(step, **options)
    assert (result.status, result.exit_code) == ("Failed", 1)
    assert result.reason == "all 3 training jobs failed; the first: exit code 1: no GPU"


def test_trials_are_reused_when_the_search_goes_further(kit, trainer):
    """More jobs: the tuning runs again, but the trials that are the same are taken from the cache."""
    kit.run(kit.tuning("Tune", CODE, ranges=RANGES, jobs=2, cache=True), images=trainer)
    step = kit.tuning("Tune", CODE, ranges=RANGES, jobs=4, cache=True)
    result = kit.run(step, images=trainer)
    assert kit.reasons()["Tune"] == "setting MaxNumberOfTrainingJobs: 2 -> 4"
    assert [event.reused for event in sorted(kit.told("TrialFinished"), key=lambda e: e.trial_name)] == [
        True,
        True,
        False,
        False,
    ]
    assert all(kit.store.exists(output.uri) for output in result.steps["Tune"].outputs.values())
    assert len(result.steps["Tune"].outputs) == 4


def test_a_moved_bound_is_named_with_both_ranges(kit, trainer):
    """Of the cache's reasons people read the first sixty characters."""

    def tuned(most):
        units = {"Name": "units", "MinValue": "32", "MaxValue": most, "ScalingType": "Linear"}
        kit.run(
            kit.tuning("Tune", CODE, ranges={"IntegerParameterRanges": [units]}, jobs=1, cache=True), images=trainer
        )

    tuned("64")
    tuned("48")
    assert kit.reasons()["Tune"] == "setting range units: 32.0 to 64.0 -> 32.0 to 48.0"


def test_the_bayesian_search_finds_better_ones_than_chance():
    """Over seeds, 20 jobs of a smooth objective: the best of the modelled search beats the best of random draws."""
    ranges = parse_ranges(
        {"ContinuousParameterRanges": [{"Name": name, "MinValue": "0", "MaxValue": "1"} for name in ("x", "y")]}
    )

    def score(x, y):
        return -((x - 0.7) ** 2) - (y - 0.3) ** 2

    def modelled(seed):
        search, found = Search(ranges, jobs=20, seed=seed), []
        for _ in range(10):
            objectives = [score(float(p["x"]), float(p["y"])) for p in search.ask(2)]
            search.tell(objectives)
            found += objectives
        return max(found)

    def drawn(seed):
        chance = random.Random(seed)
        return max(score(chance.random(), chance.random()) for _ in range(20))

    assert sum(map(modelled, range(4))) > sum(map(drawn, range(4)))
