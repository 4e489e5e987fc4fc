"""The commands on executions in AWS, against moto as far as it goes."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from moto import mock_aws
from moto.core.responses import ActionResult
from moto.sagemaker.models import FakePipelineExecution
from moto.sagemaker.responses import SageMakerResponse

from pipelines.aws.session import open_environment
from pipelines.cli import cli
from steps.core.common.errors import UserError
from tests.pipelines.nightly.cloud import Batches, Cloud, new_clients, teach_moto

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
JOB = "arn:aws:sagemaker:eu-west-1:123456789012:training-job/train-1"
RATE = {"count": 1, "trials": 100, "value": 0.01}
GATE = {
    "confidence": 0.95,
    "operating_point": None,
    "fpr": RATE | {"upper": 0.05},
    "max_fpr": 0.01,
    "tpr": RATE | {"lower": 0.004},
}


class Service:
    """A deployed pipeline with as many executions as a test starts, and the steps that it names."""

    def __init__(self):
        self.deployment = open_environment("dev", "eu-west-1")
        self.environment = self.deployment.environment
        self.client = self.deployment.client("sagemaker")
        self.client.create_pipeline(
            PipelineName="tilegate-dev", PipelineDefinition="{}", RoleArn="r" * 20, ClientRequestToken="t" * 32
        )
        self.steps, self.stopped = [], []

    def start(self, name):
        told = self.client.start_pipeline_execution(
            PipelineName="tilegate-dev", PipelineExecutionDisplayName=name, ClientRequestToken="t" * 32
        )
        return told["PipelineExecutionArn"].rpartition("/")[2]

    def step(self, name, status="Succeeded", **more):
        times = {"StartTime": NOON, "EndTime": NOON + timedelta(minutes=1)}
        self.steps.append({"StepName": name, "StepStatus": status, "Metadata": {}} | times | more)

    def say(self, *words):
        return CliRunner().invoke(cli, [*words, "--env", "dev", "--region", "eu-west-1"])


@pytest.fixture
def service(monkeypatch):
    """Return a deployment in moto, which is taught the steps of an execution and to stop one."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        made = Service()

        def stop(response):
            made.stopped.append(response._get_param("PipelineExecutionArn"))
            return ActionResult({"PipelineExecutionArn": made.stopped[-1]})

        def note(response):
            arn = response._get_param("PipelineExecutionArn")
            execution = response.sagemaker_backend.pipelines["tilegate-dev"].pipeline_executions[arn]
            execution.pipeline_execution_description = response._get_param("PipelineExecutionDescription")
            return ActionResult({"PipelineExecutionArn": arn})

        answers = {
            "list_pipeline_execution_steps": lambda _: ActionResult({"PipelineExecutionSteps": made.steps}),
            "stop_pipeline_execution": stop,
            "update_pipeline_execution": note,
        }
        for name, answer in answers.items():
            monkeypatch.setattr(SageMakerResponse, name, answer, raising=False)
        yield made


@pytest.fixture
def executing(monkeypatch):
    """Executions go on; moto's succeed at once."""
    made = FakePipelineExecution.__init__

    def begin(self, *args, **kwargs):
        made(self, *args, **kwargs)
        self.pipeline_execution_status = "Executing"

    monkeypatch.setattr(FakePipelineExecution, "__init__", begin)


def test_status_shows_the_steps_and_the_verdict_of_the_newest(service):
    execution = service.start("night-one")
    service.step("EvaluateModel")
    bucket = service.environment.artifact_bucket
    s3 = service.deployment.client("s3")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    document = json.dumps({"gate": GATE, "subject": {}}).encode()
    s3.put_object(Bucket=bucket, Key=f"runs/{execution}/EvaluateModel/evaluation/evaluation.json", Body=document)
    result = service.say("status")
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"{execution}  night-one\nSucceeded, after ")
    assert "EvaluateModel           Succeeded   1 min 00 s" in result.output
    assert "FPR: 1.00% (1 of 100 negatives), at most 5.00% at 95%; limit 1.00%" in result.output
    assert json.loads(service.say("status", "night-one", "--json").output)["gate"]["max_fpr"] == 0.01


def test_the_verdict_of_a_reused_step_is_that_of_the_execution_it_was_taken_from(service):
    service.start("night-two")
    service.step("EvaluateModel", CacheHitResult={"SourcePipelineExecutionArn": "arn:x/execution/e0"})
    bucket, s3 = service.environment.artifact_bucket, service.deployment.client("s3")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    document = json.dumps({"gate": GATE, "subject": {}}).encode()
    s3.put_object(Bucket=bucket, Key="runs/e0/EvaluateModel/evaluation/evaluation.json", Body=document)
    assert "FPR: 1.00%" in service.say("status").output


def test_watching_tells_each_change_once_and_ends_with_the_executions_exit_code(service, executing, monkeypatch):
    service.start("night-one")
    service.step("TrainModel", "Executing")
    execution = next(iter(_executions(service).values()))
    slept = []

    def sleep(_):
        slept.append(None)
        if len(slept) == 2:
            service.steps.clear()
            service.step("TrainModel", "Failed", FailureReason="out of memory")
            execution.pipeline_execution_status = "Failed"

    monkeypatch.setattr("time.sleep", sleep)
    result = service.say("status", "--watch")
    assert result.exit_code == 1, result.output
    assert [line.split()[:2] for line in result.output.splitlines()[:2]] == [
        ["TrainModel", "Executing"],
        ["TrainModel", "Failed"],
    ]
    assert "out of memory" in result.output


def _executions(service):
    from moto.sagemaker.models import sagemaker_backends

    return sagemaker_backends["123456789012"]["eu-west-1"].pipelines["tilegate-dev"].pipeline_executions


def test_a_rejected_candidate_is_no_failure(service):
    service.start("night-one")
    service.step("RejectModel", "Failed", Metadata={"Fail": {"ErrorMessage": "the FPR is too high"}})
    next(iter(_executions(service).values())).pipeline_execution_status = "Failed"
    result = service.say("status", "--watch")
    assert result.exit_code == 3, result.output
    assert "Rejected, after" in result.output
    (listed,) = json.loads(service.say("runs", "--json").output)
    assert (listed["status"], listed["name"]) == ("Rejected", "night-one")
    assert "the FPR is too high" in result.output


def test_runs_lists_the_executions_of_a_deployment(service):
    assert service.say("runs").output == "No executions in dev; `tilegate start` makes one.\n"
    names = [service.start("night-one"), service.start("night-two")]
    output = service.say("runs").output
    assert all(name in output for name in names)
    assert len(json.loads(service.say("runs", "--last", "1", "--json").output)) == 1


def test_stopping_needs_a_reason_and_keeps_it(service, executing):
    execution = service.start("night-one")
    assert service.say("stop", execution).exit_code == 2
    assert service.say("stop", execution, "--reason", "wrong labels").exit_code == 0
    assert [arn.rpartition("/")[2] for arn in service.stopped] == [execution]
    output = service.say("status", execution).output
    assert "Stopped by arn:aws:sts::123456789012:" in output
    assert ": wrong labels" in output


def test_logs_are_of_the_steps_jobs(service):
    execution = service.start("night-one")
    service.step("TrainModel", Metadata={"TrainingJob": {"Arn": JOB}})
    logs, group, stream = service.deployment.client("logs"), "/aws/sagemaker/TrainingJobs", "train-1/algo-1"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    event = {"timestamp": int(datetime.now(UTC).timestamp() * 1000), "message": "epoch 1"}
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])
    assert service.say("logs", execution).output == "train-1  epoch 1\n"
    assert service.say("logs", execution, "TrainModel", "--follow").output == "train-1  epoch 1\n"
    result = service.say("logs", execution, "EvaluateModel")
    assert isinstance(result.exception, UserError)
    assert "has no step 'EvaluateModel' that has begun: TrainModel" in str(result.exception)


def test_start_beside_another_execution_says_so_and_fails(service, executing, monkeypatch):
    from pipelines.nightly.decide import Nothing, Why
    from pipelines.nightly.night import Held

    asked = []

    def hold(site, rules, *, reason, tell):
        asked.append((site.pipeline, rules.force, reason))
        return Held(Nothing(Why.EXECUTING, "night-one is at it"))

    monkeypatch.setattr("pipelines.nightly.night.hold_night", hold)
    result = service.say("start", "--reason", "new labels")
    assert result.exit_code == 1
    assert "night-one is at it" in result.output
    (told,) = asked
    assert told[:2] == ("tilegate-dev", True)
    assert told[2].startswith("new labels (arn:aws:sts::123456789012:")


def test_start_starts_an_execution_although_nothing_is_new_and_keeps_why(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        teach_moto(monkeypatch)
        cloud = Cloud(new_clients())
        Batches(cloud, tmp_path)("one.png", "two.png")
        words = ["start", "--env", "dev", "--region", "eu-west-1", "--reason", "a new backbone", "--max-fpr", "0.02"]
        for number in (1, 2):
            result = CliRunner().invoke(cli, words)
            assert result.exit_code == 0, (result.output, result.exception)
            assert len(cloud.executions()) == number
        assert "tilegate status " in result.output
        assert cloud.parameters()["MaxFpr"] == "0.02"
        records = [cloud.artifacts.get(found.key).decode() for found in cloud.artifacts.list("nights/")]
        assert any("a new backbone (arn:aws:sts::123456789012:" in record for record in records)


@pytest.mark.parametrize("words", [["start"], ["stop", "e1"]])
def test_they_are_of_a_deployment_in_aws(words, monkeypatch):
    monkeypatch.delenv("TILEGATE_ENV", raising=False)
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert "--env" in result.output
