"""The smoke run of a deployed environment: what it starts, what it tells of each part, and where to look."""

import json

import pytest

from infra.deployment import smoke as module
from infra.deployment.smoke import smoke
from pipelines.aws.session import open_environment
from pipelines.runs.sample_data import write_sample
from steps.core.common.errors import UserError
from tests.aws.executions import STEP_NAMES, all_steps, end
from tests.infra.conftest import REGION

pytestmark = pytest.mark.aws


@pytest.fixture
def run(cloud, monkeypatch):
    """Return what runs the smoke run of prod, whose execution ends as asked; the lines and whether all works."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setattr(module, "SCREENSHOTS", 24)
    recorder = cloud.environment.function("recorder")

    def record(event, _context):
        print(json.dumps({"execution": event["detail"]["pipelineExecutionArn"], "run": "r", "made": True}))

    def run(status="Succeeded", recording=record, **failed):
        cloud.functions.stand_ins[recorder], told = recording, []

        def sleep(_):
            (newest, *_others) = cloud.executions()
            described = cloud.client("sagemaker").describe_pipeline_execution(PipelineExecutionArn=newest)
            if described["PipelineExecutionStatus"] == "Executing":
                end(newest, status, steps=all_steps(**failed))

        works = smoke(open_environment("prod", REGION), tell=told.append, sleep=sleep)
        return works, told

    return run


def row(told, what):
    (line,) = [line for line in told if line[10:].startswith(f"{what} ")]
    return line


def test_a_smoke_run_starts_the_sample_under_the_starters_own_role_and_tells_what_works(cloud, run):
    works, told = run()
    assert works, told
    (execution,) = cloud.executions()
    given = cloud.client("sagemaker").list_pipeline_parameters_for_execution(PipelineExecutionArn=execution)
    values = {parameter["Name"]: parameter["Value"] for parameter in given["PipelineParameters"]}
    assert (values["MaxTuningJobs"], values["TrainingInstanceType"]) == ("1", "ml.m5.large")
    assert all(row(told, name).startswith("  ok ") for name in (*STEP_NAMES, "starter", "recorder", "dead letters"))
    assert "role judge, image model" in row(told, "EvaluateModel")
    assert "nobody hears of failures" in row(told, "alerts")
    assert told[-1].startswith("  tilegate data withdraw ")
    # Nothing is torn down, and once more needs no other data.
    assert run()[0]
    assert len(cloud.executions()) == 2


def test_what_fails_says_where_to_look_and_what_was_not_reached(cloud, run):
    def fail(_event, _context):
        raise PermissionError

    works, told = run("Failed", recording=fail, TrainModel="AccessDenied: s3:GetObject")
    assert not works
    execution = cloud.executions()[0].rpartition("/")[2]
    failed = row(told, "TrainModel")
    assert failed.startswith("  NOT OK")
    assert f"AccessDenied: s3:GetObject; look at `tilegate logs {execution} TrainModel --env prod`" in failed
    assert "not reached" in row(told, "EvaluateModel")
    assert row(told, "IndexTiles").startswith("  ok ")
    # The event of its end found a recorder that fails.
    assert "/aws/lambda/tilegate-prod-recorder" in row(told, "recorder")
    assert "1 in tilegate-prod-recorder-dead-letters" in row(told, "dead letters")


def test_the_sample_does_not_mix_with_other_data(cloud, run, tmp_path):
    folder = write_sample(tmp_path / "own", screenshots=24, workers=1)
    done = cloud.command("operator", "data", "add", str(folder), "--classes", "other,promotion")
    assert done.exit_code == 0, done.output
    with pytest.raises(UserError, match=r"holds data of its own .*`tilegate start --env prod"):
        run()
    assert cloud.executions() == []
