"""The nightly function as Lambda calls it: what it logs, what it counts, and how it fails."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core.responses import ActionResult
from moto.sagemaker.responses import SageMakerResponse

from infra.handlers.starter import handler
from pipelines.nightly.lease import KEY, NightBusyError
from steps.core.common.errors import UserError
from tests.pipelines.nightly.cloud import Batches, Cloud, new_clients, teach_moto

HIDDEN = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY"


@pytest.fixture
def cloud(monkeypatch):
    teach_moto(monkeypatch)
    for name, value in {
        "TILEGATE_ENV": "dev",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": HIDDEN,
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield Cloud(new_clients())


@pytest.fixture
def batch(cloud, tmp_path):
    add = Batches(cloud, tmp_path)
    add("a.png")
    return add


def call(event=None, seconds=900):
    return handler(event or {}, SimpleNamespace(get_remaining_time_in_millis=lambda: seconds * 1000))


def logged(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_night_is_logged_in_json_and_counted_without_a_call(cloud, batch, capsys):
    answer = call()
    assert len(cloud.executions()) == 1
    assert cloud.executions()[0].endswith(answer["execution"])
    last = logged(capsys)[-1]
    assert last["night"] == f"started {answer['execution']}: 1 new labels"
    (told,) = last["_aws"]["CloudWatchMetrics"]
    assert (told["Namespace"], told["Dimensions"]) == ("tilegate-dev", [[]])
    assert {metric["Name"]: last[metric["Name"]] for metric in told["Metrics"]} == {"Decisions": 1, "Rejections": 0}
    assert abs(datetime.fromtimestamp(last["_aws"]["Timestamp"] / 1000, UTC) - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_night_with_nothing_to_do_is_a_decision_too(cloud, capsys):
    assert call()["night"] == "no data, nothing is started: there is no batch of labels yet"
    assert logged(capsys)[-1]["Decisions"] == 1


def test_delivered_again_it_starts_nothing(cloud, batch):
    call()
    assert call()["night"].startswith("nothing new, nothing is started")
    assert len(cloud.executions()) == 1


def test_an_event_may_force_a_night_and_say_why(cloud, batch):
    call()
    call({"force": True, "reason": "a new phone"})
    assert len(cloud.executions()) == 2
    claims = [info.key for info in cloud.artifacts.list("nights/") if info.key.endswith("claim.json")]
    assert "a new phone" in {json.loads(cloud.artifacts.get(key))["reason"] for key in claims}
    call({"force": "yes"})
    assert len(cloud.executions()) == 2


def test_rules_and_parameters_come_from_the_functions_variables(cloud, batch, monkeypatch):
    monkeypatch.setenv("TILEGATE_MIN_NEW_LABELS", "100")
    monkeypatch.setenv("TILEGATE_MAX_AGE_DAYS", "99999")
    assert call()["night"].startswith("waiting, nothing is started: 1 new labels of the 100")
    monkeypatch.setenv("TILEGATE_MIN_NEW_LABELS", "1")
    monkeypatch.setenv("TILEGATE_PARAMETERS", '{"MaxFpr": 0.02}')
    call()
    assert cloud.parameters()["MaxFpr"] == "0.02"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("TILEGATE_MIN_NEW_LABELS", "few", "TILEGATE_MIN_NEW_LABELS is 'few'"),
        ("TILEGATE_PARAMETERS", "[1]", r"TILEGATE_PARAMETERS is '\[1\]'"),
        ("TILEGATE_PARAMETERS", "{", "TILEGATE_PARAMETERS is '{'"),
    ],
)
def test_variables_that_say_nothing_are_refused(cloud, monkeypatch, name, value, says):
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=says):
        call()
    assert not cloud.executions()


def test_a_rejected_night_is_counted_when_the_next_one_hears_of_it(cloud, batch, monkeypatch, capsys):
    call()
    failed = {"StepName": "RejectModel", "StepStatus": "Failed", "FailureReason": "FPR 2 %"}
    told = {"PipelineExecutionStatus": "Failed"}
    steps = ActionResult({"PipelineExecutionSteps": [failed]})
    monkeypatch.setattr(SageMakerResponse, "list_pipeline_execution_steps", lambda _: steps)
    client = type(cloud.sagemaker)
    answer = client._make_api_call

    def answered(self, operation, arguments):
        return told if operation == "DescribePipelineExecution" else answer(self, operation, arguments)

    monkeypatch.setattr(client, "_make_api_call", answered)
    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", answered)
    call()
    lines = logged(capsys)
    assert lines[-1]["Rejections"] == 1
    assert {"ended", "status", "why"} <= lines[-2].keys()
    assert lines[-2]["status"] == "Rejected"


def test_whoever_finds_another_at_work_is_delivered_again(cloud, batch):
    until = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    cloud.artifacts.put(KEY, json.dumps({"holder": "other", "until": until}).encode())
    with pytest.raises(NightBusyError, match="another starter is at work"):
        call()
    assert not cloud.executions()


def test_the_lease_ends_with_the_time_that_the_function_has(cloud, monkeypatch):
    """So that one that was killed keeps nobody out afterwards."""
    held = []

    def look(_):
        held.append(json.loads(cloud.artifacts.get(KEY))["until"])

    monkeypatch.setattr("pipelines.nightly.site_aws.current_dataset", look)
    call(seconds=60)
    assert timedelta(seconds=50) < datetime.fromisoformat(held[0]) - datetime.now(UTC) <= timedelta(seconds=70)
    assert not json.loads(cloud.artifacts.get(KEY))["until"]


@pytest.mark.parametrize(
    ("operation", "permission"),
    [
        ("StartPipelineExecution", "sagemaker:StartPipelineExecution"),
        ("DescribePipeline", "sagemaker:DescribePipeline"),
        ("ListPipelineExecutions", "sagemaker:ListPipelineExecutions"),
        ("PutObject", "s3:PutObject"),
        ("ListObjectsV2", "s3:ListBucket"),
    ],
)
def test_a_missing_permission_fails_with_its_name(cloud, batch, monkeypatch, operation, permission):
    from botocore.client import BaseClient

    answer = BaseClient._make_api_call
    role = "arn:aws:sts::123456789012:assumed-role/tilegate-dev-starter/function"

    def denied(self, name, arguments):
        if name != operation:
            return answer(self, name, arguments)
        told = f"User: {role} is not authorized to perform: {permission} on resource: arn:aws:x because of no policy"
        code = "AccessDenied" if permission.startswith("s3") else "AccessDeniedException"
        raise ClientError({"Error": {"Code": code, "Message": told}}, name)

    monkeypatch.setattr(BaseClient, "_make_api_call", denied)
    with pytest.raises(UserError, match=permission):
        call()
    monkeypatch.setattr(BaseClient, "_make_api_call", answer)
    call()
    assert len(cloud.executions()) == 1


def test_nothing_that_is_logged_is_a_secret(cloud, batch, capsys):
    call()
    assert HIDDEN not in capsys.readouterr().out
