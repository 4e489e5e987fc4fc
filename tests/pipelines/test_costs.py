"""What a night costs: from the definition, durations and a table of prices."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.costs.durations import ASSUMED_MINUTES, Duration, durations, minutes_of_run
from pipelines.costs.estimate import estimate
from pipelines.costs.jobs import JobKind, job_kinds
from pipelines.costs.monthly import Assumptions
from pipelines.costs.prices import PRICES, UNITS, Price, Prices
from pipelines.definition.compiler import compile_pipeline
from pipelines.definition.requests import all_steps
from pipelines.definition.settings import Settings
from pipelines.executor.executor import Executor
from pipelines.executor.images import Image
from steps.core.common.errors import UserError

# Small numbers to reckon with by hand: a dollar or four an hour, and nothing for anything else.
PER_HOUR = {"ml.a": 1.0, "ml.b": 4.0}
NONE = Assumptions(startup_minutes=0, function_seconds=0, s3_gb=0, image_gb=0, log_gb=0)


def prices(**items):
    def price(usd, unit):
        return Price(usd, unit, "eu-west-1", "by hand", verified=True)

    instances = {name: price(usd, "instance-hour") for name, usd in PER_HOUR.items()}
    known = {"spot": 0.25} | items
    return Prices(
        Path("hand.json"), instances, {name: price(known.get(name, 0.0), unit) for name, unit in UNITS.items()}
    )


def job(**changes):
    whole = {
        "step": "S",
        "kind": "Training",
        "instance_type": "ml.a",
        "instances": 1,
        "jobs": 1,
        "parallel": 1,
        "volume_gb": 1,
        "spot": False,
        "max_minutes": 600.0,
    }
    return JobKind(**whole | changes)


def taking(**minutes):
    return {step: Duration(value, "told") for step, value in minutes.items()}


@pytest.fixture(scope="module")
def definition():
    return json.loads(compile_pipeline(Settings()))


@pytest.fixture(scope="module")
def on_spot():
    return json.loads(compile_pipeline(Settings(spot=True)))


def night(definition, **chosen):
    kinds = job_kinds(definition, chosen)
    found = estimate(kinds, durations(kinds), Prices.read(), Assumptions())
    return found, {step.job.step: step for step in found.steps}


# -- arithmetic -------------------------------------------------------------------------------------------------------


def test_a_job_costs_its_hours_on_all_its_machines():
    kind = job(instance_type="ml.b", instances=3, jobs=2)
    (step,) = estimate([kind], taking(S=50), prices(), dataclasses.replace(NONE, startup_minutes=10)).steps
    assert step.machine_hours == 6
    assert step.usd == 24


def test_a_small_definition_by_hand():
    """Half an hour on one machine, and five trials of an hour on two, two at a time, with 10 minutes of start-up."""
    kinds = [
        job(step="Look", kind="Processing", max_minutes=50.0),
        job(step="Tune", kind="Tuning", instance_type="ml.b", instances=2, jobs=5, parallel=2, max_minutes=110.0),
    ]
    assumed = dataclasses.replace(NONE, startup_minutes=10)
    found = estimate(kinds, taking(Look=20, Tune=50), prices(kms_key=1.0), assumed, nights_with_data=10)
    look, tune = found.steps
    assert (look.usd, look.worst_usd) == (0.5, 1.0)
    assert (tune.machine_hours, tune.usd, tune.worst_usd) == (10, 40, 80)
    assert found.night_hours == 0.5 + 3  # three rounds of an hour
    assert (found.night_usd, found.worst_night_usd) == (40.5, 81)
    assert found.month_usd == 10 * 40.5 + 4  # four keys
    assert found.worst_month_usd == 10 * 81 + 4


def test_spot_costs_its_share_and_at_most_the_price_on_demand():
    kinds = [job(), job(step="T", spot=True)]
    found = estimate(kinds, taking(S=60, T=60), prices(), NONE)
    assert [step.usd for step in found.steps] == [1.0, 0.25]
    assert [step.worst_usd for step in found.steps] == [10.0, 10.0]
    assert found.spot_share == pytest.approx(0.2)


def test_a_volume_is_paid_by_the_hour_and_never_on_spot():
    kind = job(instances=2, volume_gb=100, spot=True)
    (step,) = estimate([kind], taking(S=60), prices(job_volume=0.73), NONE).steps
    assert step.usd == pytest.approx(2 * (0.25 + 0.1))


def test_a_night_without_new_data_costs_a_call_of_the_starter():
    table = prices(lambda_compute=0.001, lambda_request=0.5)
    found = estimate([job()], taking(S=60), table, dataclasses.replace(NONE, function_seconds=10), nights_with_data=20)
    starter, others = 3008 / 1024 * 10 * 0.001 + 0.5, 2 * (1769 / 1024 * 10 * 0.001 + 0.5)
    assert found.quiet_night_usd == pytest.approx(starter)
    assert found.night_usd == pytest.approx(1 + starter + others)
    assert found.month_usd == pytest.approx(20 * (1 + starter + others) + 10 * starter)


def test_a_month_without_a_night_costs_what_is_there_anyway():
    table = prices(s3_storage=0.02, ecr_storage=0.1, log_ingestion=0.5, alarm=0.1, custom_metric=0.3)
    assumed = dataclasses.replace(NONE, s3_gb=100, image_gb=10, log_gb=4)
    found = estimate([job()], taking(S=60), table, assumed, nights_with_data=0)
    assert found.month_usd == pytest.approx(2 + 1 + 2 + 11 * 0.1 + 3 * 0.3)


def test_a_server_of_mlflow_is_paid_day_and_night():
    table = prices(mlflow_app=1.0, mlflow_server=0.5)
    app, server = (
        estimate([job()], taking(S=60), table, NONE, mlflow_server=server).month_usd for server in (False, True)
    )
    assert server - app == pytest.approx(730 * 0.5 - 1)


@settings(max_examples=60)
@given(
    minutes=st.floats(0, 599),
    longer=st.floats(0, 1),
    jobs=st.integers(1, 20),
    instances=st.integers(1, 8),
    spot=st.booleans(),
)
def test_what_takes_longer_never_costs_less_and_nothing_costs_more_than_at_most(minutes, longer, jobs, instances, spot):
    kind = job(jobs=jobs, instances=instances, spot=spot)
    table = prices(job_volume=0.1)
    short, long = (estimate([kind], taking(S=m), table, Assumptions()) for m in (minutes, minutes + longer))
    assert short.night_usd <= long.night_usd <= long.worst_night_usd
    assert short.month_usd <= long.month_usd <= long.worst_month_usd
    assert short.night_hours <= long.night_hours


# -- the definition ---------------------------------------------------------------------------------------------------


def test_every_job_of_the_definition_has_a_price_and_an_assumed_duration(definition):
    jobs = {step["Name"] for step in all_steps(definition) if step["Type"] in ("Processing", "Training", "Tuning")}
    found, steps = night(definition)
    assert steps.keys() == jobs == ASSUMED_MINUTES.keys()
    assert all(step.usd > 0 for step in found.steps)
    assert all(step.duration.source == "assumed" for step in found.steps)


def test_limits_and_machines_are_those_of_the_definition(definition):
    _, steps = night(definition, TrainingInstanceType="ml.g5.xlarge", ProcessingInstanceCount="3")
    assert steps["TrainModel"].job.instance_type == "ml.g5.xlarge"
    assert steps["PreprocessTiles"].job.instances == 3
    assert steps["IndexTiles"].job.instances == 1
    assert steps["ValidateData"].job.instance_type == "ml.m5.xlarge"
    assert {step.job.volume_gb for step in steps.values()} == {Settings().volume_gb}
    assert {step.job.max_minutes for step in steps.values()} == {Settings().max_runtime_seconds / 60}


def test_twice_the_trials_cost_twice_as_much_and_nothing_else_changes(definition):
    _, few = night(definition, MaxTuningJobs="8")
    _, many = night(definition, MaxTuningJobs="16")
    ratio = {name: many[name].usd / few[name].usd for name in few}
    assert ratio == pytest.approx(dict.fromkeys(few, 1.0) | {"TuneHyperparameters": 2.0})


def test_trials_at_a_time_change_how_long_a_night_takes_but_not_its_price(definition):
    one, _ = night(definition, MaxParallelTuningJobs="1")
    eight, _ = night(definition, MaxParallelTuningJobs="8")
    assert one.night_usd == eight.night_usd
    assert one.night_hours - eight.night_hours == pytest.approx(7 * (ASSUMED_MINUTES["TuneHyperparameters"] + 5) / 60)


def test_spot_makes_trainings_cheaper_and_them_alone(definition, on_spot):
    _, dear = night(definition)
    found, cheap = night(on_spot)
    assert {name for name in dear if cheap[name].usd < dear[name].usd} == {"TuneHyperparameters", "TrainModel"}
    assert all(cheap[name].usd == dear[name].usd for name in dear.keys() - {"TuneHyperparameters", "TrainModel"})
    assert 0 < found.spot_share < 1


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"MaxTuningJob": "3"}, "no parameter MaxTuningJob: it has .*MaxTuningJobs"),
        ({"MaxTuningJobs": "many"}, "MaxTuningJobs 'many': a value of type Integer"),
        ({"MaxTuningJobs": "0"}, "MaxNumberOfTrainingJobs of TuneHyperparameters is 0"),
        ({"TrainingInstanceCount": "-1"}, "InstanceCount of TuneHyperparameters is -1"),
    ],
)
def test_a_start_that_could_not_be_is_refused(definition, chosen, said):
    with pytest.raises(UserError, match=said):
        job_kinds(definition, chosen)


# -- durations --------------------------------------------------------------------------------------------------------


def test_what_is_told_goes_before_what_was_measured_and_that_before_what_is_assumed():
    kinds = [job(step="ValidateData"), job(step="TrainModel"), job(step="EvaluateModel")]
    found = durations(kinds, {"TrainModel": 7}, {"TrainModel": 8, "EvaluateModel": 9})
    assert found == {
        "ValidateData": Duration(ASSUMED_MINUTES["ValidateData"], "assumed"),
        "TrainModel": Duration(7, "told"),
        "EvaluateModel": Duration(9, "run"),
    }


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "how long does S take"),
        ({"S": 1, "RejectModel": 1}, "RejectModel starts no job: those that do are S"),
        ({"S": -1}, "S -1: a number of minutes"),
        ({"S": math.nan}, "S nan: a number of minutes"),
        ({"S": 601}, "S 601 minutes: the definition stops each of its jobs after 600"),
    ],
)
def test_a_duration_that_cannot_be_is_refused(told, said):
    with pytest.raises(UserError, match=said):
        durations([job()], told)


def machines(kind):
    return {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}} | kind


def training_request(code):
    return machines(
        {
            "AlgorithmSpecification": {
                "TrainingImage": "i",
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "score", "Regex": "score=([0-9.]+)"}],
            },
            "OutputDataConfig": {"S3OutputPath": "s3://b/models"},
            "Environment": {"CODE": code},
        }
    )


def run_here(home):
    """Run a training, a tuning of three trials, two at a time, and a failing training; the first two are cached."""
    code = "import os, pathlib; pathlib.Path(os.environ['SM_MODEL_DIR'], 'm').touch(); print('score=1')"
    tuning = {
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 2},
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
            "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "a", "MinValue": "0", "MaxValue": "1"}]},
        },
        "TrainingJobDefinition": training_request(code),
    }
    cached = {"CacheConfig": {"Enabled": True}}
    steps = [
        {"Name": "Train", "Type": "Training", "Arguments": training_request(code), **cached},
        {"Name": "Tune", "Type": "Tuning", "Arguments": tuning, "DependsOn": ["Train"], **cached},
        {
            "Name": "Break",
            "Type": "Training",
            "Arguments": training_request("raise SystemExit(1)"),
            "DependsOn": ["Tune"],
        },
    ]
    image = Image(("python3", "-c", "import os; exec(os.environ['CODE'])"), "sha256:one")
    definition = {"Version": "2020-12-01", "Parameters": [], "Steps": steps}
    return Executor(definition, home=home, images=lambda *_: image, name="small").run()


def test_durations_come_from_the_records_of_a_run(tmp_path):
    first, second = run_here(tmp_path), run_here(tmp_path)
    measured = minutes_of_run(first.run_dir)
    assert measured.keys() == {"Train", "Tune"}
    assert measured["Train"] == first.steps["Train"].seconds / 60
    trials = [
        json.loads(path.read_text())["trial"]["seconds"]
        for path in first.run_dir.glob("steps/Tune/trials/*/result.json")
    ]
    assert len(trials) == 3
    assert measured["Tune"] == pytest.approx(sum(trials) / 3 / 60)
    assert second.steps["Train"].reused
    assert minutes_of_run(second.run_dir) == {"Train": measured["Train"]}


def test_a_run_that_is_not_there_tells_nothing(tmp_path):
    with pytest.raises(UserError, match="no step that ran to its end"):
        minutes_of_run(tmp_path / "runs" / "none")


# -- prices -----------------------------------------------------------------------------------------------------------


def test_the_prices_that_come_along_say_where_they_are_from_and_that_nobody_has_checked_them():
    table = Prices.read()
    every = [*table.instances.values(), *table.items.values()]
    assert table.unverified == len(every)
    assert all("not looked up" in price.source or "an assumption" in price.source for price in every)
    assert {price.region for price in every} == {"us-east-1"}


def test_an_instance_type_without_a_price_is_named_with_the_file(definition):
    with pytest.raises(UserError, match=r"no price is known for ml\.p9\.huge: .*prices\.json has .*ml\.m5\.xlarge"):
        night(definition, TrainingInstanceType="ml.p9.huge")


def without_an_item(table):
    del table["items"]["alarm"]


def by_the_day(table):
    table["instances"]["ml.m5.large"]["unit"] = "instance-day"


def of_two_regions(table):
    table["items"]["kms_key"]["region"] = "eu-west-1"


def negative(table):
    table["items"]["kms_key"]["usd"] = -1


def dear_spot(table):
    table["items"]["spot"]["usd"] = 35


def vague(table):
    table["items"]["kms_key"]["verified"] = "yes"


def nothing(table):
    table.clear()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (nothing, "is no table of prices"),
        (without_an_item, "is no table of prices .*alarm"),
        (by_the_day, r"ml\.m5\.large is by the instance-day: its price by the instance-hour"),
        (of_two_regions, "mixes prices of eu-west-1, us-east-1"),
        (negative, "kms_key is -1"),
        (dear_spot, "spot 35"),
        (vague, "kms_key: verified is 'yes'"),
    ],
)
def test_a_table_with_a_mistake_is_refused(tmp_path, spoil, said):
    table = json.loads(PRICES.read_text())
    spoil(table)
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(table))
    with pytest.raises(UserError, match=said):
        Prices.read(path)


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"mine\.json is no table of prices"):
        Prices.read(tmp_path / "mine.json")


@pytest.mark.parametrize("amount", [-1, math.inf, math.nan])
def test_amounts_are_numbers_of_0_or_more(amount):
    with pytest.raises(UserError, match="s3_gb"):
        Assumptions(s3_gb=amount)
