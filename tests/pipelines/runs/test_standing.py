"""Executions as SageMaker tells them, with its answers stubbed: moto knows no steps."""

from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.stub import Stubber

from pipelines.runs.executions import Execution, Job
from pipelines.runs.sagemaker_executions import SageMakerExecutions
from pipelines.runs.standing import Standing, document_of, lines_of
from steps.core.common.errors import UserError

NOBODY = dict.fromkeys(("aws_access_key_id", "aws_secret_access_key"), "testing")
PIPELINE = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/tilegate-dev"
JOBS = "arn:aws:sagemaker:eu-west-1:123456789012:"
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
ARN = f"{PIPELINE}/execution/e1"
EXECUTION = Execution(ARN, "night-1", "Failed", NOON, NOON + timedelta(minutes=90), "a step failed")


@pytest.fixture
def service():
    client = boto3.client("sagemaker", "eu-west-1", **NOBODY)
    with Stubber(client) as stubber:
        yield SageMakerExecutions(client, PIPELINE), stubber
        stubber.assert_no_pending_responses()


def step(name, status="Succeeded", minutes=None, metadata=None, **more):
    times = {"StartTime": NOON} | ({} if minutes is None else {"EndTime": NOON + timedelta(minutes=minutes)})
    return {"StepName": name, "StepStatus": status, "Metadata": metadata or {}} | times | more


def listed(*names):
    return {
        "PipelineExecutionSummaries": [
            {
                "PipelineExecutionArn": f"{PIPELINE}/execution/{name}",
                "PipelineExecutionStatus": "Succeeded",
                "PipelineExecutionDisplayName": f"night-{name}",
                "StartTime": NOON,
            }
            for name in names
        ]
    }


def described(name, status="Executing", **more):
    return {
        "PipelineExecutionArn": f"{PIPELINE}/execution/{name}",
        "PipelineExecutionStatus": status,
        "CreationTime": NOON,
        "LastModifiedTime": NOON,
    } | more


@pytest.mark.parametrize("wanted", [None, "e2", "night-e2", f"{PIPELINE}/execution/e2"])
def test_an_execution_is_found_by_id_arn_or_name_and_the_newest_without_any(service, wanted):
    seen, stubber = service
    if not str(wanted).startswith("arn:"):
        stubber.add_response("list_pipeline_executions", listed("e2", "e1"))
    stubber.add_response(
        "describe_pipeline_execution", described("e2"), {"PipelineExecutionArn": f"{PIPELINE}/execution/e2"}
    )
    found = seen.look_up(wanted)
    assert (found.id, found.status, found.ended) == ("e2", "Executing", None)


def test_an_execution_on_a_later_page_is_found_and_an_unknown_one_is_named(service):
    seen, stubber = service
    stubber.add_response("list_pipeline_executions", listed("e3") | {"NextToken": "more"})
    stubber.add_response("list_pipeline_executions", listed("e2"))
    with pytest.raises(UserError, match="tilegate-dev has no execution 'e9': `tilegate runs` lists them"):
        seen.look_up("e9")
    stubber.add_response("list_pipeline_executions", listed())
    with pytest.raises(UserError, match="tilegate-dev has no executions yet"):
        seen.look_up(None)


def test_steps_tell_how_long_they_took_what_they_reused_and_why_they_failed(service):
    seen, stubber = service
    steps = [
        step("ValidateData", minutes=10, CacheHitResult={"SourcePipelineExecutionArn": f"{PIPELINE}/execution/e0"}),
        step(
            "EvaluateModel", "Failed", 20, {"ProcessingJob": {"Arn": f"{JOBS}processing-job/job-1"}}, FailureReason="no"
        ),
        step("CheckFalsePositiveRate", minutes=1, metadata={"Condition": {"Outcome": "False"}}),
        step("RejectModel", "Failed", 1, {"Fail": {"ErrorMessage": "the FPR is\ntoo high"}}),
        step("TrainModel", "Executing", metadata={"TrainingJob": {"Arn": f"{JOBS}training-job/job-2"}}),
    ]
    stubber.add_response("list_pipeline_execution_steps", {"PipelineExecutionSteps": steps})
    stubber.add_response("describe_processing_job", {"ExitMessage": "labels.csv is empty"} | _job("job-1"))
    found = seen.steps(EXECUTION)
    lines = list(lines_of(Standing(EXECUTION, "Rejected", tuple(found)), NOON + timedelta(minutes=5)))
    assert lines[:2] == ["e1  night-1", "Rejected, after 1 h 30 min, from 2026-11-25 12:00"]
    assert [line.split(maxsplit=2) for line in lines[2:]] == [
        ["ValidateData", "Succeeded", "as in e0"],
        ["EvaluateModel", "Failed", "20 min 00 s   labels.csv is empty; no"],
        ["CheckFalsePositiveRate", "Succeeded", "1 min 00 s    not passed"],
        ["RejectModel", "Failed", "1 min 00 s    the FPR is too high"],
        ["TrainModel", "Executing", "5 min 00 s"],
    ]


def _job(name):
    return {
        "ProcessingJobName": name,
        "ProcessingJobArn": f"{JOBS}processing-job/{name}",
        "ProcessingJobStatus": "Failed",
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 1}
        },
        "AppSpecification": {"ImageUri": "image"},
        "CreationTime": NOON,
    }


def test_the_jobs_of_a_tuning_are_those_that_it_started(service):
    seen, stubber = service
    stubber.add_response(
        "list_pipeline_execution_steps",
        {
            "PipelineExecutionSteps": [
                step("Tune", metadata={"TuningJob": {"Arn": f"{JOBS}hyper-parameter-tuning-job/tuning"}}),
                step("Train", metadata={"TrainingJob": {"Arn": f"{JOBS}training-job/training"}}),
                step("Check"),
            ]
        },
    )
    tune, train, check = seen.steps(EXECUTION)
    trial = {
        "TrainingJobArn": "arn:x",
        "CreationTime": NOON,
        "TrainingJobStatus": "Completed",
        "TunedHyperParameters": {},
    }
    stubber.add_response(
        "list_training_jobs_for_hyper_parameter_tuning_job",
        {"TrainingJobSummaries": [trial | {"TrainingJobName": f"trial-{n}"} for n in (1, 2)]},
        {"HyperParameterTuningJobName": "tuning", "SortBy": "CreationTime", "SortOrder": "Ascending"},
    )
    assert seen.jobs(tune) == [Job("TrainingJob", "trial-1"), Job("TrainingJob", "trial-2")]
    assert seen.jobs(train) == [Job("TrainingJob", "training")]
    assert seen.jobs(check) == []


def test_stopping_keeps_who_and_why_and_what_was_said_before(service):
    seen, stubber = service
    execution = Execution(ARN, "night-1", "Executing", NOON, note="forced")
    stubber.add_response(
        "update_pipeline_execution",
        {"PipelineExecutionArn": ARN},
        {"PipelineExecutionArn": ARN, "PipelineExecutionDescription": "forced\nStopped by ann: wrong labels"},
    )
    stubber.add_response(
        "stop_pipeline_execution",
        {"PipelineExecutionArn": ARN},
        {"PipelineExecutionArn": ARN, "ClientRequestToken": "t" * 64},
    )
    seen.stop(execution, "Stopped by ann: wrong labels", "t" * 64)


def test_what_has_ended_cannot_be_stopped(service):
    with pytest.raises(UserError, match="e1 has ended already: Failed"):
        service[0].stop(EXECUTION, "why", "t" * 64)


def test_a_missing_permission_is_named(service):
    seen, stubber = service
    denied = "User: arn:aws:iam::1:user/ann is not authorized to perform: sagemaker:ListPipelineExecutions"
    message = f"{denied} on resource: {PIPELINE}"
    stubber.add_client_error("list_pipeline_executions", "AccessDeniedException", message)
    with pytest.raises(UserError, match=r"needs the permission sagemaker:ListPipelineExecutions on .*tilegate-dev"):
        list(seen.newest())


def test_the_verdict_is_shown_and_is_in_the_json():
    rate = {"count": 1, "trials": 100, "value": 0.01}
    gate = {
        "confidence": 0.95,
        "operating_point": None,
        "fpr": rate | {"upper": 0.05},
        "max_fpr": 0.01,
        "tpr": rate | {"lower": 0.004},
    }
    found = Standing(EXECUTION, "Rejected", (), {"gate": gate, "subject": {}})
    lines = list(lines_of(found, NOON))
    assert "FPR: 1.00% (1 of 100 negatives), at most 5.00% at 95%; limit 1.00%" in lines
    assert "Reason: a step failed" in lines
    document = document_of(found, NOON)
    assert document["gate"] == gate
    assert (document["status"], document["ended"]) == ("Rejected", "2026-11-25T13:30:00+00:00")
