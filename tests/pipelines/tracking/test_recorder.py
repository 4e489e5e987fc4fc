"""The function that EventBridge calls when an execution has ended, and the command that does the same by hand."""

import json

import boto3
import pytest
from click.testing import CliRunner
from mlflow.exceptions import MlflowException
from moto import mock_aws

from infra.handlers import recorder
from pipelines.cli.executions import track
from pipelines.environment import Environment
from pipelines.storage.s3 import S3Objects
from pipelines.tracking.database import database_uri, experiment_id
from steps.core.common.errors import UserError
from tests.pipelines.tracking.service import ARN, whole_night


@pytest.fixture
def deployed(service, played, monkeypatch):
    """An environment whose SageMaker is `service` and whose MLflow is the store of `played`."""
    known = {"region_name": "eu-west-1", "aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    environment = Environment("dev", "123456789012", "eu-west-1")
    experiment_id(played.client, played.home, environment.pipeline)

    class Deployed:
        def __init__(self, name="dev", region=None):
            assert (name, region) == ("dev", "eu-west-1")
            self.environment = environment

        def client(self, name):
            return {"s3": s3, "sagemaker": service.client}[name]

    monkeypatch.setenv("TILEGATE_ENV", "dev")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("TILEGATE_TRACKING_URI", database_uri(played.home))
    monkeypatch.setattr("infra.handlers.runtime.open_environment", Deployed)
    monkeypatch.setattr("pipelines.aws.session.open_environment", Deployed)
    with mock_aws():
        s3 = boto3.client("s3", **known)
        buckets = []
        for name in (environment.data_bucket, environment.artifact_bucket):
            s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
            buckets.append(S3Objects(s3, name))
        whole_night(service, buckets)
        yield Deployed


EVENT = {"detail": {"pipelineExecutionArn": ARN, "currentPipelineExecutionStatus": "Succeeded"}}


def test_the_event_of_an_ended_execution_records_it_once(deployed, played, capsys):
    first, second = recorder.handler(EVENT, None), recorder.handler(EVENT, None)
    assert (first["made"], second["made"], first["run"]) == (True, False, second["run"])
    assert json.loads(capsys.readouterr().out.splitlines()[0]) == first
    run = played.client.get_run(first["run"])
    assert (run.info.run_name, run.data.metrics["test/fpr"]) == ("abc123def456", 0.004)


def test_an_mlflow_that_is_away_is_an_error_so_that_the_event_is_delivered_again(deployed, monkeypatch):
    monkeypatch.setenv("TILEGATE_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(MlflowException, match="Connection refused"):
        recorder.handler(EVENT, None)


def test_the_command_takes_an_id_and_tells_the_run(deployed, played):
    words = ["abc123def456", "--env", "dev", "--region", "eu-west-1", "--tracking-uri", database_uri(played.home)]
    assert CliRunner().invoke(track, words).output.startswith("Recorded: MLflow run ")
    assert CliRunner().invoke(track, words).output.startswith("Recorded already: MLflow run ")


def test_a_run_of_this_machine_needs_no_command():
    refused = CliRunner().invoke(track, ["20261125-000000-aaaa"])
    assert isinstance(refused.exception, UserError)
    assert "recorded while it runs" in str(refused.exception)
