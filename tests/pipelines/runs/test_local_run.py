"""What a run hands to the executor, and what it came to; the executor itself only notes what it was given."""

import pytest

from pipelines.definition.settings import Settings
from pipelines.executor.results import ExecutionResult
from pipelines.runs.local_run import execute, resume_run
from pipelines.runs.local_start import RunRequest
from steps.core.common.errors import UserError
from tests.pipelines.nightly.cloud import definition

SETTINGS = Settings()
GIVEN = {name: f"s3://tilegate-local/{name}" for name in ("DatasetUri", "PlanUri", "CheckpointsUri")}


class Noted:
    """The executor, as a run sees it; `ends` is how the next execution ends."""

    def __init__(self):
        self.given, self.definition, self.ends = {}, {}, {"status": "Succeeded"}

    def __call__(self, definition, **given):
        self.definition, self.given = definition, given
        return self

    def run(self):
        ended = {"failed_step": None, "reason": None, "exit_code": None, "steps": {}, "seconds": 1.0} | self.ends
        return ExecutionResult(execution_id="e1", run_dir=self.given["home"] / "runs" / "e1", **ended)


@pytest.fixture
def noted(monkeypatch):
    made = Noted()
    monkeypatch.setattr("pipelines.runs.local_run.Executor", made)
    monkeypatch.setattr("pipelines.runs.local_run._summary", lambda *_: [])
    monkeypatch.setattr(
        "pipelines.runs.local_run.compile_cached", lambda settings, _: definition(parents=settings.warm_start_parents)
    )
    return made


def test_a_nights_text_becomes_values_and_its_parents_are_in_the_definition(noted, empty_home):
    given = GIVEN | {"LearningRateMin": "0.001", "MaxTuningJobs": "3", "WarmStartParent1": "job-1"}
    assert execute(empty_home, SETTINGS, given, note="night-1") == "Succeeded"
    values = noted.given["parameters"]
    assert (values["LearningRateMin"], values["MaxTuningJobs"], values["WarmStartParent1"]) == (0.001, 3, "job-1")
    assert values["DatasetUri"] == GIVEN["DatasetUri"]
    assert values.keys() == {parameter["Name"] for parameter in noted.definition["Parameters"]}
    assert (noted.given["code_note"], noted.given["resume"]) == ("night-1", None)


def test_a_run_that_is_gone_on_with_keeps_its_parameters(noted, empty_home, leave_run):
    own = GIVEN | {"LearningRateMin": 0.1, "LearningRateMax": 0.2}
    interrupted = leave_run(empty_home, 1, own, status="Executing").name
    assert resume_run(RunRequest(empty_home), SETTINGS, interrupted) == "Succeeded"
    assert (noted.given["resume"], noted.given["parameters"]) == (interrupted, own)
    with pytest.raises(UserError, match="give no data, weights or parameters"):
        resume_run(RunRequest(empty_home, parameters={"MaxFpr": 0.1}), SETTINGS, interrupted)
    with pytest.raises(UserError, match="there is no run gone"):
        resume_run(RunRequest(empty_home), SETTINGS, "gone")


@pytest.mark.parametrize(
    ("step", "exit_code", "outcome"),
    [("RejectModel", None, "Rejected"), ("ConvertToTFLite", 3, "Rejected"), ("ConvertToTFLite", 1, "Failed")],
)
def test_what_the_gate_ends_is_rejected(noted, empty_home, step, exit_code, outcome):
    noted.ends = {"status": "Failed", "failed_step": step, "exit_code": exit_code}
    assert execute(empty_home, SETTINGS, GIVEN) == outcome
