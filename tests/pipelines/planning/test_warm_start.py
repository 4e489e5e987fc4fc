"""Which earlier nights a tuning learns from: those of earlier data and of the same search, the same on every repeat."""

import pytest

from pipelines.definition.parameters import pipeline_parameters
from pipelines.definition.settings import Settings
from pipelines.executor.runs import load_runs
from pipelines.planning.baselines import warm_start_parents
from pipelines.runs.local_history import runs_here

SETTINGS = Settings()
DEFAULTS = {parameter.name: parameter.default for parameter in pipeline_parameters(SETTINGS)}


def asked(dataset, **changed):
    return {**DEFAULTS, "DatasetUri": f"s3://tilegate-local/datasets/{dataset}", **changed}


class Home:
    def __init__(self, root, leave_run):
        self.root, self._leave, self._number = root, leave_run, 0

    def night(self, parameters, job, *, status="Succeeded", **options):
        self._number += 1
        tuned = {"status": status, "properties": {"HyperParameterTuningJobName": job}}
        return self._leave(self.root, self._number, parameters, TuneHyperparameters=tuned, **options)

    def parents(self, parameters):
        return warm_start_parents(runs_here(self.root), SETTINGS.name, parameters)


@pytest.fixture
def home(tmp_path, leave_run):
    return Home(tmp_path, leave_run)


def test_nights_on_other_data_are_parents_the_latest_first(home):
    home.night(asked("one"), "first")
    home.night(asked("two"), "second")
    assert home.parents(asked("three")) == ("second", "first")


def test_there_are_none_at_first(home):
    assert home.parents(asked("one")) == ()


def test_a_run_that_is_repeated_has_the_parents_it_had(home):
    home.night(asked("one"), "first")
    before = home.parents(asked("two"))
    home.night(asked("two"), "second")
    home.night(asked("three"), "third")
    assert home.parents(asked("two")) == before == ("first",)


def test_nights_that_trained_otherwise_are_of_another_search(home):
    for changed in ({"Backbone": "large"}, {"TileSize": 96}, {"BatchSize": 4}, {"FineTuneEpochs": 1}):
        home.night(asked("one", **changed), "other")
    for search in ("augment batch-size seed=17", DEFAULTS["Search"].replace("seed=17", "seed=18")):
        home.night(asked("one", Search=search), "other")
    earlier = asked("one")
    del earlier["Search"]
    home.night(earlier, "from before this was told")
    home.night(asked("one", MaxFpr=0.1, MaxTuningJobs=3, LearningRateMin=1e-6), "same")
    assert home.parents(asked("two")) == ("same",)


def test_a_tuning_that_did_not_succeed_or_is_of_another_pipeline_is_none(home):
    home.night(asked("one"), "failed", status="Failed")
    home.night(asked("one"), "foreign", pipeline="foreign")
    (home.night(asked("one"), "gone") / "steps/TuneHyperparameters/result.json").unlink()
    assert len(load_runs(home.root)) == 3
    assert home.parents(asked("two")) == ()


def test_a_tuning_that_was_reused_is_one_parent_and_five_are_the_most(home):
    for night in range(7):
        home.night(asked(f"night-{night}"), f"job-{max(night, 1)}")
    assert home.parents(asked("tonight")) == ("job-6", "job-5", "job-4", "job-3", "job-2")
    home.night(asked("again"), "job-6")
    assert home.parents(asked("tonight")) == ("job-6", "job-5", "job-4", "job-3", "job-2")
