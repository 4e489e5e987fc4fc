"""What roles of the deployment may not do, as the deployed policies say it, their own and the buckets'."""

import pytest
from botocore.exceptions import ClientError

from pipelines.executor.store import LocalStore
from tests.aws.jobs import refusals
from tests.aws.permissions import Request, reading, refusal

pytestmark = pytest.mark.aws

DECISION = "registry/tilegate-prod-screenshots/decisions/00000001.json"
SIGNED = ("releases/1/model.tflite", "channels/stable.json")


@pytest.fixture
def cloud(one_cloud):
    return one_cloud


def denied(cloud, duty, operation, **parameters):
    """Tell whether S3 refuses somebody who has taken on a role."""
    with cloud.acting(duty, "somebody"):
        client = cloud.client("s3")
        try:
            getattr(client, operation)(**parameters)
        except ClientError as error:
            return error.response["Error"]["Code"] == "AccessDenied"
    return False


@pytest.mark.parametrize("duty", ["operator", "approver", "starter", "training", "judge", "data", "pipeline", "mlflow"])
def test_nobody_but_the_publisher_writes_releases(cloud, duty):
    for key in SIGNED:
        assert denied(cloud, duty, "put_object", Bucket=cloud.environment.release_bucket, Key=key, Body=b"mine")


def test_the_publisher_writes_releases_and_removes_none(cloud):
    bucket = cloud.environment.release_bucket
    for key in SIGNED:
        assert not denied(cloud, "publisher", "put_object", Bucket=bucket, Key=key, Body=b"signed")
        assert denied(cloud, "publisher", "delete_object", Bucket=bucket, Key=key)


def test_decisions_are_the_approvers_and_are_only_appended(cloud):
    decision = {"Bucket": cloud.environment.artifact_bucket, "Key": DECISION, "Body": b"{}"}
    for duty in ("operator", "starter", "publisher", "training", "judge", "data", "pipeline"):
        assert denied(cloud, duty, "put_object", **decision, IfNoneMatch="*"), duty
    assert denied(cloud, "approver", "put_object", **decision)
    assert not denied(cloud, "approver", "put_object", **decision, IfNoneMatch="*")


def test_nothing_is_written_under_another_key_than_the_deployments(cloud):
    where = {"Bucket": cloud.environment.release_bucket, "Key": "releases/1/x", "Body": b""}
    assert denied(cloud, "publisher", "put_object", **where, ServerSideEncryption="AES256")
    other = cloud.environment.arn("kms", "key/other")
    assert denied(cloud, "publisher", "put_object", **where, ServerSideEncryption="aws:kms", SSEKMSKeyId=other)


def test_checkpoints_are_written_with_whatever_header_sagemaker_sends(cloud):
    where = {"Bucket": cloud.environment.artifact_bucket, "Body": b"", "ServerSideEncryption": "aws:kms"}
    assert not denied(cloud, "training", "put_object", **where, Key="checkpoints/plan/training/x.zip")
    assert denied(cloud, "training", "put_object", **where, Key="training/job/output/model.tar.gz")


def test_a_job_in_a_network_with_keys_is_refused_where_its_role_lacks_what_that_takes(cloud, tmp_path):
    key, vpc = cloud.environment.arn("kms", "key/k"), {"VpcConfig": {"Subnets": ["subnet-1"]}}
    outputs = {"S3OutputPath": f"s3://{cloud.environment.artifact_bucket}/training", "KmsKeyId": key}
    job = {"RoleArn": cloud.environment.role_arn("starter"), "NetworkConfig": vpc, "OutputDataConfig": outputs}
    job |= {"ResourceConfig": {"VolumeKmsKeyId": key}, "StoppingCondition": {"MaxWaitTimeInSeconds": 9}}
    lacks = {line.split()[1] for line in refusals("A", job, LocalStore(tmp_path))}
    assert lacks >= {"ec2:DeleteNetworkInterface", "kms:CreateGrant", "kms:Encrypt", "MaxWaitTimeInSeconds"}


def test_nothing_is_read_without_tls(cloud):
    role = cloud.environment.role_arn("publisher")
    request, _ = reading(cloud.environment.release_bucket, "channels/stable.json")
    assert refusal(role, request) == ""
    plain = Request(request.action, request.resource, {"aws:SecureTransport": "false"})
    assert refusal(role, plain).startswith("explicit deny")


def test_the_functions_hear_that_an_object_is_missing(cloud):
    """S3 says 403 instead of 404 to who may not list a bucket, and a missing object is no failure."""
    for duty in ("starter", "publisher", "recorder"):
        with cloud.acting(duty, "somebody"):
            runs = {"Bucket": cloud.environment.artifact_bucket, "Key": "runs/e1/ConvertToTFLite/bundle/model.tar.gz"}
            with pytest.raises(ClientError, match="NoSuchKey"):
                cloud.client("s3").get_object(**runs)


def test_the_publisher_alone_signs(cloud):
    for duty in ("publisher", "approver", "operator", "starter", "pipeline"):
        with cloud.acting(duty, "somebody"):
            kms, alias = cloud.client("kms"), cloud.environment.signing_key_alias
            asked = {"KeyId": alias, "Message": b"0" * 32, "MessageType": "DIGEST", "SigningAlgorithm": "ECDSA_SHA_256"}
            if duty == "publisher":
                assert kms.sign(**asked)["Signature"]
            else:
                with pytest.raises(ClientError, match="AccessDenied"):
                    kms.sign(**asked)


def test_the_starter_starts_no_other_pipeline(cloud):
    other = cloud.environment.arn("sagemaker", "pipeline/other")
    role = cloud.environment.role_arn("starter")
    assert refusal(role, Request("sagemaker:StartPipelineExecution", cloud.environment.pipeline_arn)) == ""
    assert refusal(role, Request("sagemaker:StartPipelineExecution", other))


def test_a_training_job_that_asks_for_held_out_labels_is_refused(cloud, tmp_path):
    """This is how the whole night holds its jobs against their roles: it must find what is wrong."""
    store, run = LocalStore(tmp_path / "store"), f"s3://{cloud.environment.artifact_bucket}/runs/e1"

    def job(output):
        store.put_bytes(b"rows", f"{run}/ValidateData/{output}/dataset.parquet")
        source = {"S3DataType": "S3Prefix", "S3Uri": f"{run}/ValidateData/{output}"}
        return {
            "RoleArn": cloud.environment.role_arn("training"),
            "InputDataConfig": [{"ChannelName": "dataset", "DataSource": {"S3DataSource": source}}],
            "OutputDataConfig": {"S3OutputPath": f"s3://{cloud.environment.artifact_bucket}/training"},
        }

    assert refusals("TrainModel", job("development"), store) == []
    refused = refusals("TrainModel", job("screenshots"), store)
    assert [line.split()[1] for line in refused] == ["s3:GetObject", "s3:ListBucket"]
