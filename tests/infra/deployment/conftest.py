"""An account in moto, and a deployment's stacks cut down to what moto can make: buckets and queues."""

import copy

import pytest
from moto import mock_aws
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket

from infra.deployment.deploy import Wanted, deploy
from infra.template import synth
from pipelines.aws.session import open_environment
from tests.aws.account import taught_account

DIGEST = "@sha256:" + "0" * 64
IMAGES = {name: f"registry.example.com/{name}{DIGEST}" for name in ("data", "model", "control")}


class Account:
    """What deploying does to an account: the lines it tells, and what it is answered when it asks."""

    def __init__(self, name):
        self.deployment = open_environment(name, "eu-west-1")
        self.environment = self.deployment.environment
        self.told, self.asked, self.answer = [], [], True
        self.queues, self.has_pipeline = ["one"], False

    def client(self, service):
        return self.deployment.client(service)

    def templates(self, environment, images, options):
        """Stand in for the synthesis: the buckets of the environment, and the queues that a test wants."""
        queues = {
            f"Queue{name}": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": f"tilegate-{name}"}}
            for name in self.queues
        }
        keeps = {"DeletionPolicy": "RetainExceptOnCreate"} if environment.name == "prod" else {}
        bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": environment.artifact_bucket}, **keeps}
        main = {"Description": f"weights {options.weights}", "Resources": {"Artifacts": bucket, **queues}}
        topic = {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "tilegate-topic"}}
        stacks = {environment.images_stack: {"Resources": {"Topic": topic}}}
        properties = {
            "PipelineName": environment.pipeline,
            "PipelineDefinition": {"PipelineDefinitionBody": "{}"},
            "RoleArn": environment.role_arn("pipeline"),
        }
        pipeline = {"Type": "AWS::SageMaker::Pipeline", "Properties": properties}
        main["Resources"] |= {"Pipeline": pipeline} if self.has_pipeline else {}
        return stacks | ({environment.project: main} if images else {})

    def deploy(self, weights=None, *, dry_run=False, preflight=False, **given):
        self.told.clear()
        wanted = Wanted(given, weights, dry_run, preflight)
        return deploy(self.deployment, wanted, tell=self.told.append, confirm=self.confirm, sleep=lambda _: None)

    def confirm(self, question):
        self.asked.append(question)
        return self.answer

    @property
    def text(self):
        return "\n".join(self.told)

    def keys(self, bucket):
        return [item["Key"] for item in self.client("s3").list_objects_v2(Bucket=bucket).get("Contents", ())]

    def stacks(self):
        return {s["StackName"]: s["StackStatus"] for s in self.client("cloudformation").describe_stacks()["Stacks"]}


def _protect(response):
    stack = response.cloudformation_backend.get_stack(response._get_param("StackName"))
    stack.enable_termination_protection = response._get_bool_param("EnableTerminationProtection")
    return ActionResult({"StackId": stack.stack_id})


@pytest.fixture
def account_of(monkeypatch):
    """Return the account of dev or prod; moto is taught to protect stacks, and that TLS is not missing."""
    monkeypatch.setattr(FakeBucket, "get_permission", lambda *_: PermissionResult.NEUTRAL)
    monkeypatch.setattr(CloudFormationResponse, "update_termination_protection", _protect, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws(), taught_account() as limits:

        def account(name="dev"):
            made = Account(name)
            made.limits = limits
            monkeypatch.setattr(synth, "synthesise", lambda *args, **_: copy.deepcopy(made.templates(*args)))
            return made

        yield account


@pytest.fixture
def account(account_of):
    return account_of()
