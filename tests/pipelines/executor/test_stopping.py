"""Early stopping: the documented median rule over completed rounds, the same on every run, and told as what it is."""

import json

import pytest

from pipelines.executor.errors import DefinitionError
from pipelines.executor.stopping import MedianRule
from tests.pipelines.executor.conftest import properties

# Each job prints its number and a tenth more with every epoch; one below 5 never ends by itself after its second.
CODE = """
import os, time
a = int(h['a'])
for epoch in range(4):
    print(f'score={a + epoch / 10}', flush=True)
    if a < 5 and epoch == 1:
        time.sleep(600)
open(os.environ['SM_MODEL_DIR'] + '/model', 'w').write('weights')
"""


def executor(kit, values, *more, stopping="Auto", code=CODE, resume=None, **options):
    """Return what tries these values in this order, and runs the steps after it."""
    step, usual = kit.listed("Tune", code, [{"a": str(value)} for value in values], **options)
    step["Arguments"]["HyperParameterTuningJobConfig"]["TrainingJobEarlyStoppingType"] = stopping
    return kit.executor(step, *more, **usual, resume=resume)


def run(kit, values, *more, **options):
    return executor(kit, values, *more, **options).run()


def ends(kit):
    return {e.hyperparameters["a"]: (e.status, e.objective, e.reused) for e in kit.told("TrialFinished")}


def statuses(result):
    return [job["TrainingJobStatus"] for job in properties(result, "Tune", "TrainingJobSummaries")]


def curve(kit, trial):
    name = next(e.trial_name for e in kit.told("TrialFinished") if e.hyperparameters["a"] == trial)
    return [event.value for event in kit.told("StepMetric") if event.trial == name]


def test_the_rule_compares_with_the_median_of_the_means_up_to_the_same_value():
    """Means up to the third value: 0.2, 0.3, 0.4, 0.5 and 0.6, so the median is 0.4."""
    rule = MedianRule([[m - 0.1, m, m + 0.1, 1.0] for m in (0.2, 0.3, 0.4, 0.5, 0.6)])
    assert rule.threshold(2) == pytest.approx(0.4)
    assert rule.stops_at([0.9, 0.9, 0.39]) == 2
    assert rule.stops_at([0.9, 0.9, 0.41]) is None


def test_the_rule_waits_for_four_jobs_and_the_second_value_and_spares_the_last():
    curves = [[1.0, 1.0, 1.0]] * 4
    assert MedianRule(curves[:3]).stops_at([0.0, 0.0, 0.0]) is None
    assert MedianRule(curves).stops_at([0.0]) is None
    assert MedianRule(curves).stops_at([0.0, 1.0, 0.0]) is None
    assert MedianRule(curves).stops_at([0.0, 0.0, 0.0]) == 1


def test_shorter_and_broken_curves_take_part_as_far_as_they_go():
    rule = MedianRule([[0.2], [0.4, float("nan"), 0.4], [0.6, 0.6, 0.6], [0.8, 0.8, 0.8], []])
    assert rule.threshold(1) == pytest.approx(0.5)


def test_a_bad_trial_is_stopped_and_keeps_the_best_that_it_had_reached(kit):
    result = run(kit, [9, 8, 7, 6, 1, 10])
    assert result.status == "Succeeded", result.reason
    assert ends(kit)["1"] == ("Stopped", 1.1, False)
    assert curve(kit, "1") == [1.0, 1.1]
    assert [ends(kit)[name][0] for name in ("9", "8", "7", "6", "10")] == ["Completed"] * 5
    told = next(e.reason for e in kit.told("TrialFinished") if e.status == "Stopped")
    assert told.startswith("stopped early: value 2 of score, 1.1, is worse than 7.55, the median")
    summaries = properties(result, "Tune", "TrainingJobSummaries")
    assert summaries[-1]["TrainingJobStatus"] == "Stopped"
    assert summaries[-1]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 1.1
    assert properties(result, "Tune", "BestTrainingJob.TunedHyperParameters") == {"a": "10"}
    assert statuses(result) == ["Completed"] * 5 + ["Stopped"]
    assert set(result.steps["Tune"].outputs) == {job["TrainingJobName"] for job in summaries[:-1]}


def test_what_was_stopped_is_never_the_best_although_it_began_better_than_all(kit):
    code = """
import os, time
a = int(h['a'])
for epoch in range(4):
    print(f'score={99 if a == 1 and epoch == 0 else a}', flush=True)
    if a == 1 and epoch == 1:
        time.sleep(600)
"""
    result = run(kit, [9, 8, 7, 6, 1], code=code)
    assert ends(kit)["1"] == ("Stopped", 99.0, False)
    assert properties(result, "Tune", "BestTrainingJob.TunedHyperParameters") == {"a": "9"}


def test_nothing_is_stopped_unless_the_definition_says_so(kit):
    code = CODE.replace("time.sleep(600)", "pass")
    result = run(kit, [9, 8, 7, 6, 1, 2], code=code, stopping="Off")
    assert statuses(result) == ["Completed"] * 6


def test_a_trial_of_the_round_that_is_running_stops_nobody(kit):
    """Six at a time are all in the first round, so that none has anything to be compared with."""
    code = CODE.replace("time.sleep(600)", "pass")
    result = run(kit, [9, 8, 7, 6, 1, 2], code=code, parallel=6)
    assert statuses(result) == ["Completed"] * 6


def test_a_stopped_trial_is_found_again_and_shows_its_curve_again(kit):
    run(kit, [9, 8, 7, 6, 1], cache=True)
    run(kit, [9, 8, 7, 6, 1, 10], cache=True)
    assert ends(kit)["1"] == ("Stopped", 1.1, True)
    assert ends(kit)["10"] == ("Completed", 10.3, False)
    assert curve(kit, "1") == [1.0, 1.1]
    assert curve(kit, "9") == [9.0, 9.1, 9.2, 9.3]


def test_a_trial_that_completed_before_is_judged_as_if_it_ran_now(kit):
    """So the outcome does not depend on what the cache holds: with and without it the same trials count as stopped."""
    code = CODE.replace("time.sleep(600)", "pass")
    values = [9, 8, 7, 6, 1]
    run(kit, values, code=code, stopping="Off", cache=True)
    result = run(kit, values, code=code, cache=True)
    assert ends(kit)["1"] == ("Stopped", 1.1, True)
    assert len(result.steps["Tune"].outputs) == 4


def test_a_trial_that_was_stopped_runs_again_where_it_would_go_on_now(kit):
    """One trial more in each round: now the bad one is in the first, which nobody judges."""
    code = CODE.replace("time.sleep(600)", "pass")
    run(kit, [9, 8, 7, 6, 1], code=code, cache=True)
    run(kit, [9, 8, 7, 6, 1], code=code, cache=True, parallel=5)
    assert ends(kit)["1"] == ("Completed", 1.3, False)
    assert ends(kit)["9"] == ("Completed", 9.3, True)


def test_a_resumed_run_keeps_what_was_stopped(kit):
    """The next step fails at first; what the tuning leaves is the same before and after."""
    fail = kit.fail("Fail", kit.get("Steps.Tune.BestTrainingJob.TrainingJobName"))
    first = run(kit, [9, 8, 7, 6, 1], fail)
    assert first.status == "Failed"
    folder = first.run_dir / "steps" / "Tune"
    before = json.loads((folder / "result.json").read_text())["properties"]
    (folder / "result.json").unlink()
    again = run(kit, [9, 8, 7, 6, 1], fail, resume=first.execution_id)
    assert again.steps["Tune"].properties == before
    assert {reused for _, _, reused in ends(kit).values()} == {True}


def test_an_unknown_kind_of_stopping_is_refused(kit):
    with pytest.raises(DefinitionError, match="TrainingJobEarlyStoppingType is 'Sometimes'"):
        executor(kit, [1, 2], stopping="Sometimes")
