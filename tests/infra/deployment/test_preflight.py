"""What a preflight finds before anything is made, and that nothing of it stays."""

import pytest
from botocore.exceptions import ClientError

from infra.deployment.images_in_aws import check_images
from infra.options import Images
from steps.core.common.errors import UserError
from tests.aws.account import push_image

from .conftest import IMAGES

OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def rows(account):
    """The rows of the table, by what they are about."""
    return {line[10:33].strip(): line for line in account.told if line.startswith(("  ok ", "  NOT OK ", "  unknown "))}


def trials(account):
    """What stands in an account of preflights."""
    pipelines = account.client("sagemaker").list_pipelines()["PipelineSummaries"]
    roles = account.client("iam").list_roles(PathPrefix="/tilegate-dev-preflight/")["Roles"]
    return [found["PipelineName"] for found in pipelines] + [role["RoleName"] for role in roles]


def refusing(message, *, times=100, real=None):
    """Return a CreatePipeline that is refused so often."""
    asked = []

    def create(**given):
        asked.append(given)
        if len(asked) > times:
            return real(**given)
        raise ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "CreatePipeline")

    return create


@pytest.fixture
def pushed(account):
    """Return the three images, pushed."""
    environment, ecr = account.environment, account.client("ecr")

    def images(**kinds):
        uris = {}
        for name in IMAGES:
            repository = environment.repository(name)
            if not any(found["repositoryName"] == repository for found in ecr.describe_repositories()["repositories"]):
                ecr.create_repository(repositoryName=repository)
            digest = push_image(ecr, repository, **kinds)
            uris[name] = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/{repository}@{digest}"
        return uris

    return images


def test_a_preflight_tells_what_is_ready_and_leaves_nothing(account, pushed):
    assert account.deploy(preflight=True, **pushed())
    assert account.told[0] == "Preflight of tilegate-dev in 123456789012, eu-west-1:"
    assert {line.split()[0] for line in rows(account).values()} == {"ok"}
    assert "SageMaker takes all " in rows(account)["definition"]
    assert account.stacks() == {}
    assert trials(account) == []


def test_before_any_image_the_rest_is_told(account):
    assert not account.deploy(preflight=True)
    assert [name for name, line in rows(account).items() if "NOT OK" in line] == ["images"]
    assert account.stacks() == {}


def test_what_is_deployed_already_needs_no_preflight(account):
    account.deploy(**IMAGES)
    assert account.told[0].startswith("Preflight of")
    account.deploy()
    assert not any("Preflight" in line for line in account.told)


def test_a_stack_that_a_killed_attempt_left_under_review_is_not_taken_for_deployed(account):
    account.client("cloudformation").create_change_set(
        StackName="tilegate-dev", ChangeSetName="left", ChangeSetType="CREATE", TemplateBody='{"Resources": {}}'
    )
    assert account.stacks() == {"tilegate-dev": "REVIEW_IN_PROGRESS"}
    account.deploy(dry_run=True, **IMAGES)
    assert account.told[0].startswith("Preflight of")


def test_sagemakers_own_parser_sees_the_definition_before_anything_is_made(account, monkeypatch):
    monkeypatch.setattr(account.client("sagemaker"), "create_pipeline", refusing("Unknown step type: Tunning"))
    with pytest.raises(UserError, match="nothing was changed: SageMaker refuses it: Unknown step type: Tunning"):
        account.deploy(**IMAGES)
    assert account.stacks() == {}
    assert trials(account) == []


def test_a_role_that_is_not_known_everywhere_yet_is_waited_for(account, monkeypatch):
    client = account.client("sagemaker")
    late = refusing("The role cannot be assumed by the principal", times=2, real=client.create_pipeline)
    monkeypatch.setattr(client, "create_pipeline", late)
    assert account.deploy(preflight=True, **IMAGES)


def test_what_a_killed_preflight_left_is_removed_by_the_next(account, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*_, **__):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(account.client("sagemaker"), "delete_pipeline", kill)
        with pytest.raises(Killed):
            account.deploy(preflight=True, **IMAGES)
    assert len(trials(account)) == 2
    account.client("sagemaker").create_pipeline(
        PipelineName="tilegate-prod", PipelineDefinition="{}", RoleArn=account.environment.role_arn("pipeline")
    )
    account.deploy(preflight=True, **IMAGES)
    assert trials(account) == ["tilegate-prod"]


@pytest.mark.parametrize(("kind", "seen"), [(OCI, "oci.image.manifest"), (INDEX, "oci.image.index")])
def test_a_manifest_that_aws_refuses_to_run_is_noticed_before_anything_is_made(account, pushed, kind, seen):
    with pytest.raises(UserError, match=rf"the data image .* manifest of the type .*{seen}.*containers/push\.sh"):
        account.deploy(**pushed(kind=kind))
    assert account.stacks() == {}


def test_an_image_for_another_architecture_is_noticed_before_anything_is_made(account, pushed):
    account.limits.images["tilegate-dev/model"] = {"os": "linux", "architecture": "arm64"}
    with pytest.raises(UserError, match=r"the model image .* is for linux/arm64, .* run on linux/amd64"):
        account.deploy(**pushed())
    assert account.stacks() == {}


def test_images_of_other_registries_are_left_to_whoever_runs_them(account):
    told = check_images(Images(**IMAGES), account.environment, account.client("ecr"))
    assert told.endswith("3 in another registry, unseen")


def test_weights_that_are_gone_are_noticed(account, tmp_path):
    path, bucket = tmp_path / "mine.weights.h5", account.environment.artifact_bucket
    path.write_bytes(b"weights")
    account.deploy(path, **IMAGES)
    key = next(key for key in account.keys(bucket) if key.endswith("/pretrained.weights.h5"))
    account.client("s3").delete_object(Bucket=bucket, Key=key)
    account.queues = ["one", "two"]
    with pytest.raises(UserError, match=r"pretrained weights at .*nothing is there.* --weights again"):
        account.deploy()


@pytest.mark.filterwarnings("ignore:Tried to parse")
def test_an_account_that_allows_too_few_functions_or_no_mlflow_is_refused(account):
    account.limits.has_mlflow = False
    with pytest.raises(UserError, match=r"no managed MLflow of the kind 'app' .* `--mlflow server`"):
        account.deploy(**IMAGES)
    account.limits.has_mlflow, account.limits.functions = True, 10
    with pytest.raises(UserError, match=r"10 concurrent executions .* 100 wanted.* L-B99A9384"):
        account.deploy(**IMAGES)


def test_a_quota_that_nights_will_meet_is_told_and_keeps_nobody_from_deploying(account):
    account.limits.quotas["ml.m5.2xlarge for training job usage"] = 0
    assert account.deploy(**IMAGES, parameters=("ProcessingInstanceType=ml.m9.large",))
    (few,) = [line for line in account.told if "ml.m5.2xlarge for training job usage" in line]
    assert few.startswith("  NOT OK")
    assert "0 allowed and 2 wanted" in few
    assert "--quota-code L-1 --desired-value 2" in few
    assert "no such quota in this region" in account.text
    assert not account.deploy(preflight=True)


def test_what_may_not_be_looked_at_is_unknown_and_no_hindrance(account, monkeypatch):
    def refuse(*_, **__):
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "ListServiceQuotas")

    monkeypatch.setattr(account.client("service-quotas"), "get_paginator", refuse)
    assert account.deploy(**IMAGES)
    assert sum(line.startswith("  unknown") for line in account.told) == 2
