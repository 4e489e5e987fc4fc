"""Removing an environment: dev goes with its data, prod keeps its buckets, and neither goes by mistake."""

from datetime import UTC, datetime

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from click.testing import CliRunner

from infra.cli import destroy as command
from infra.deployment.destroy import _remove_versions, destroy
from steps.core.common.errors import UserError

from .conftest import IMAGES

NOBODY = dict.fromkeys(("aws_access_key_id", "aws_secret_access_key"), "testing")


def remove(account):
    account.told.clear()
    return destroy(account.deployment, tell=account.told.append, confirm=account.confirm, sleep=lambda _: None)


def buckets(account):
    return [bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]]


@pytest.fixture
def filled(account):
    """A deployment of dev with some versions of objects, and one that was deleted."""
    account.queues = [f"{number:0>60}" for number in range(400)]
    account.deploy(**IMAGES)
    s3, bucket = account.client("s3"), account.environment.artifact_bucket
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for number in range(3):
        s3.put_object(Bucket=bucket, Key="ledger/one", Body=str(number).encode())
    s3.delete_object(Bucket=bucket, Key="ledger/one")
    return account


def test_dev_goes_with_all_its_data_and_with_the_bucket_of_templates(filled):
    assert len(buckets(filled)) == 2
    assert remove(filled)
    assert f"Is removed with all that is in it: AWS::S3::Bucket {filled.environment.artifact_bucket}" in filled.told
    assert filled.told[-1] == "tilegate-dev is gone."
    assert filled.stacks() == {}
    assert buckets(filled) == []
    assert filled.client("sqs").list_queues().get("QueueUrls", []) == []


def test_nothing_goes_if_a_person_says_no(filled):
    filled.answer = False
    assert not remove(filled)
    assert filled.asked == ["Remove tilegate-dev from account 123456789012, eu-west-1?"]
    assert len(buckets(filled)) == 2
    assert set(filled.stacks()) == {"tilegate-dev", "tilegate-dev-images"}


def test_prod_keeps_what_holds_data_and_says_so(account_of):
    account = account_of("prod")
    account.deploy(**IMAGES)
    bucket = account.environment.artifact_bucket
    emptied = account.keys(bucket)
    assert remove(account)
    assert f"Stays: AWS::S3::Bucket {bucket}" in account.told
    assert account.keys(bucket) == emptied


def test_an_environment_that_is_not_there_is_no_error(account):
    assert remove(account)
    assert account.told == ["There is no tilegate-dev in eu-west-1."]


@pytest.mark.filterwarnings("ignore:Tried to parse")
def test_nothing_goes_while_an_execution_does(filled, monkeypatch):
    filled.has_pipeline = True
    filled.deploy()
    told = {
        "PipelineExecutionArn": f"{filled.environment.pipeline_arn}/execution/abc",
        "PipelineExecutionStatus": "Executing",
    }
    monkeypatch.setattr(
        filled.client("sagemaker"), "list_pipeline_executions", lambda **_: {"PipelineExecutionSummaries": [told]}
    )
    with pytest.raises(UserError, match=r"the execution abc goes on: wait for its end, or `tilegate stop abc"):
        remove(filled)
    assert filled.asked == []


def test_an_object_that_cannot_be_removed_is_named_and_no_stack_goes(filled, monkeypatch):
    refused = {"Errors": [{"Key": "ledger/one", "Code": "AccessDenied", "Message": "Access Denied"}]}
    monkeypatch.setattr(filled.client("s3"), "delete_objects", lambda **_: refused)
    with pytest.raises(UserError, match="ledger/one cannot be removed: Access Denied"):
        remove(filled)
    assert set(filled.stacks()) == {"tilegate-dev", "tilegate-dev-images"}


def test_prod_has_to_be_meant():
    result = CliRunner().invoke(command, ["--env", "prod", "--yes"])
    assert isinstance(result.exception, UserError)
    assert "--really prod" in str(result.exception)


def test_a_missing_permission_is_named(filled, monkeypatch):
    message = "User: arn:aws:iam::123456789012:user/ann is not authorized to perform: cloudformation:DeleteStack"
    error = ClientError({"Error": {"Code": "AccessDenied", "Message": message}}, "DeleteStack")

    def refuse(**_):
        raise error

    monkeypatch.setattr(filled.client("cloudformation"), "delete_stack", refuse)
    with pytest.raises(UserError, match=r"cannot delete the stack tilegate-dev: access denied: .*DeleteStack"):
        remove(filled)


def test_access_logs_that_arrive_while_buckets_are_emptied_do_not_stop_it(filled, monkeypatch):
    s3, bucket = filled.client("s3"), filled.environment.artifact_bucket
    delete, tries = filled.client("cloudformation").delete_stack, []

    def late(**given):
        tries.append(given)
        if len(tries) == 1:
            s3.put_object(Bucket=bucket, Key="late", Body=b"log")
            raise ClientError(
                {"Error": {"Code": "ValidationError", "Message": "The bucket is not empty"}}, "DeleteStack"
            )
        return delete(**given)

    monkeypatch.setattr(filled.client("cloudformation"), "delete_stack", late)
    assert remove(filled)
    assert buckets(filled) == []


def test_the_versions_of_a_group_go_before_it():
    client = boto3.client("sagemaker", "eu-west-1", **NOBODY)
    package = {
        "ModelPackageArn": "arn:aws:sagemaker:eu-west-1:123456789012:model-package/tilegate/1",
        "CreationTime": datetime(2026, 11, 25, tzinfo=UTC),
        "ModelPackageStatus": "Completed",
    }
    with Stubber(client) as stubber:
        stubber.add_response(
            "list_model_packages", {"ModelPackageSummaryList": [package]}, {"ModelPackageGroupName": "tilegate"}
        )
        stubber.add_response("delete_model_package", {}, {"ModelPackageName": package["ModelPackageArn"]})
        _remove_versions(client, "tilegate")
        stubber.assert_no_pending_responses()
