"""The command with the real templates, in moto as tests/aws teaches it: from an empty account to a deployment."""

import json

import pytest
from click.testing import CliRunner
from moto import mock_aws

from pipelines.aws.session import open_environment
from pipelines.cli import cli
from tests.aws.moto_aws import extended_moto
from tests.infra.conftest import ACCOUNT, REGION, images_of

pytestmark = [pytest.mark.aws, pytest.mark.filterwarnings("ignore:Tried to parse")]


@pytest.fixture
def account(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws(), extended_moto():
        yield open_environment("dev", REGION)


def say(*words, code=0):
    result = CliRunner().invoke(cli, [*words, "--env", "dev", "--region", REGION], input="n\n")
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def push(account):
    """Push something to each repository, and return the options that name it."""
    ecr, words = account.client("ecr"), []
    for name in ("data", "model", "control"):
        repository = account.environment.repository(name)
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        document = {"schemaVersion": 2, "mediaType": kind, "config": {"digest": name, "size": 1}, "layers": []}
        manifest = json.dumps(document)
        told = ecr.put_image(repositoryName=repository, imageManifest=manifest, imageTag="1")
        digest = told["image"]["imageId"]["imageDigest"]
        words += [f"--{name}-image", f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{repository}@{digest}"]
    return words


def test_an_environment_comes_into_being_and_stays_as_it_is(account):
    environment, sagemaker = account.environment, account.client("sagemaker")
    assert "Push an image to each" in say("deploy")
    not_pushed = images_of(environment).data
    with pytest.raises(Exception, match="is not there: push it first"):
        say("deploy", "--data-image", not_pushed, "--model-image", not_pushed, "--control-image", not_pushed)
    images = push(account)
    assert "tilegate-dev is deployed." in say("deploy", *images, "--alert-email", "people@example.com")
    definition = sagemaker.describe_pipeline(PipelineName=environment.pipeline)["PipelineDefinition"]
    assert all(word in definition for word in images[1:4:2])
    again = say("deploy")
    unchanged = [f"Stack {name}: nothing to change." for name in ("tilegate-dev-images", "tilegate-dev")]
    assert again.splitlines() == [*unchanged, "tilegate-dev is deployed."]
    changed = say("deploy", "--dry-run", "--min-new-labels", "50")
    assert "Stack tilegate-dev: " in changed
    assert "AWS::Lambda::Function" in changed
    assert say("runs") == "No executions of tilegate-dev; `tilegate start` makes one.\n"
    # moto cannot delete the network in the order that AWS does, so that here a person says no.
    told = say("destroy", code=1)
    buckets = (environment.data_bucket, environment.artifact_bucket, environment.release_bucket)
    assert all(f"Is removed with all that is in it: AWS::S3::Bucket {bucket}" in told for bucket in buckets)
    assert f"AWS::ECR::Repository {environment.repository('model')}" in told
    assert f"AWS::SageMaker::ModelPackageGroup {environment.model_package_group}" in told
    assert "Stays" not in told
    assert told.endswith("Nothing was changed.\n")
