"""What the service's answers mean to a night; the answers have the shapes of botocore's service model."""

from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber

from pipelines.definition.step_table import REFUSAL
from pipelines.runs.executions import Outcome, Status
from pipelines.runs.sagemaker_executions import SageMakerExecutions

ARN = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/tilegate-dev"
JOB = "arn:aws:sagemaker:eu-west-1:123456789012:processing-job/"
EXECUTION = f"{ARN}/execution/e1"


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client = boto3.client("sagemaker", region_name="eu-west-1")
    with Stubber(client) as stubber:
        yield Service(client, stubber)


class Service:
    def __init__(self, client, stubber):
        self.executions, self._stubber = SageMakerExecutions(client, ARN), stubber

    def says(self, operation, **answer):
        self._stubber.add_response(operation, answer)

    def ended(self, status, *steps, **more):
        self.says("describe_pipeline_execution", PipelineExecutionStatus=status, **more)
        self.says("list_pipeline_execution_steps", PipelineExecutionSteps=list(steps))

    def outcome(self):
        found = self.executions.outcome("e1")
        self._stubber.assert_no_pending_responses()
        return found


def step(name, status="Succeeded", minute=0, **more):
    return {"StepName": name, "StepStatus": status, "EndTime": datetime(2026, 1, 1, 0, minute, tzinfo=UTC), **more}


def job(name):
    return {"Metadata": {"ProcessingJob": {"Arn": JOB + name}}}


@pytest.mark.parametrize("status", ["Executing", "Stopping"])
def test_an_execution_that_has_not_ended_is_executing(service, status):
    service.says("describe_pipeline_execution", PipelineExecutionStatus=status)
    assert service.outcome() == Outcome(Status.EXECUTING)


def test_a_success_tells_which_tuning_later_nights_can_learn_from(service):
    tuning = {
        "Metadata": {"TuningJob": {"Arn": "arn:aws:sagemaker:eu-west-1:123456789012:hyper-parameter-tuning-job/t"}}
    }
    service.ended("Succeeded", step("TrainModel"), step("TuneHyperparameters", **tuning))
    assert service.outcome() == Outcome(Status.SUCCEEDED, tuning_job="t")


def test_a_rejected_model_is_no_failure(service):
    service.ended("Failed", step("RejectModel", "Failed", FailureReason="FPR 2 % > 1 %"))
    assert service.outcome() == Outcome(Status.REJECTED, "FPR 2 % > 1 %", "RejectModel")


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"FailureReason": "AlgorithmError: , exit code: 3"}, Status.REJECTED),
        ({"ExitMessage": f"{REFUSAL} float32: FPR 2 %"}, Status.REJECTED),
        ({"FailureReason": "AlgorithmError: , exit code: 1"}, Status.FAILED),
        ({"FailureReason": "AlgorithmError: , exit code: 137", "ExitMessage": ""}, Status.FAILED),
    ],
)
def test_a_conversion_that_the_gate_rejected_is_told_from_one_that_broke(service, told, status):
    service.ended("Failed", step("ConvertToTFLite", "Failed", **job("c")))
    rest = {"ProcessingJobStatus": "Failed", "ProcessingJobName": "c", "ProcessingJobArn": JOB + "c"}
    rest |= {"ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "t", "VolumeSizeInGB": 1}}}
    rest |= {"AppSpecification": {"ImageUri": "i"}, "CreationTime": datetime(2026, 1, 1, tzinfo=UTC)}
    service.says("describe_processing_job", **rest, **told)
    outcome = service.outcome()
    assert (outcome.status, outcome.failed_step) == (status, "ConvertToTFLite")
    assert outcome.reason == next(filter(None, told.values()))


def test_the_refusal_is_what_the_program_says():
    program = Path(__file__).parents[3] / "steps" / "convert" / "__main__.py"
    assert f'RejectedError(f"{REFUSAL} ' in program.read_text()


def test_a_failure_is_the_first_one(service):
    late, early = step("B", "Failed", 9, FailureReason="b"), step("A", "Failed", 1, FailureReason="a")
    service.ended("Failed", late, early)
    assert service.outcome() == Outcome(Status.FAILED, "a", "A")


def test_a_failure_outside_of_every_step_has_the_executions_reason(service):
    service.ended("Failed", FailureReason="no such role")
    assert service.outcome() == Outcome(Status.FAILED, "no such role")


def test_who_stopped_an_execution_is_not_known_but_that_it_was(service):
    service.ended("Stopped", step("TrainModel", "Stopped"))
    assert service.outcome() == Outcome(Status.STOPPED, "stopped on request")


def test_an_execution_that_the_service_has_forgotten_has_stopped(service):
    service._stubber.add_client_error("describe_pipeline_execution", "ResourceNotFound", "does not exist")
    assert service.outcome() == Outcome(Status.STOPPED, "SageMaker knows it no longer")


def summary(number, status="Succeeded"):
    return {
        "PipelineExecutionArn": f"{ARN}/execution/e{number}",
        "PipelineExecutionStatus": status,
        "PipelineExecutionDisplayName": f"night-{number % 3}",
    }


def test_the_newest_execution_of_a_name_is_found_on_any_page(service):
    service.says("list_pipeline_executions", PipelineExecutionSummaries=[summary(9), summary(8)], NextToken="more")
    service.says("list_pipeline_executions", PipelineExecutionSummaries=[summary(7), summary(4)])
    assert service.executions.find("night-1") == "e7"


def test_a_name_that_nothing_has_is_not_found(service):
    service.says("list_pipeline_executions", PipelineExecutionSummaries=[summary(9)])
    assert service.executions.find("night-2") is None


def test_any_execution_that_goes_on_is_found(service):
    service.says("list_pipeline_executions", PipelineExecutionSummaries=[summary(9), summary(8, "Stopping")])
    assert service.executions.executing() == "e8"
    service.says("list_pipeline_executions", PipelineExecutionSummaries=[summary(9, "Failed")])
    assert service.executions.executing() is None
