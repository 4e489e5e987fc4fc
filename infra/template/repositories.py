"""The stack that has to be there before an image can be pushed: repositories, and the key of their images."""

from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms

from infra.template.keys import kept
from pipelines.environment import Environment

_IMAGES = ("data", "model", "control")
_KEPT_IMAGES = 50


def add_repositories(stack: Any, environment: Environment) -> None:
    """Add a repository for each image. A pushed tag never means another image later."""
    key = kms.Key(
        stack,
        "Key",
        alias=f"alias/{environment.project}-images",
        description=f"{environment.project}: container images",
        enable_key_rotation=True,
        pending_window=Duration.days(30),
        removal_policy=kept(environment),
    )
    for image in _IMAGES:
        repository = ecr.Repository(
            stack,
            image.capitalize(),
            repository_name=environment.repository(image),
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            encryption=ecr.RepositoryEncryption.KMS,
            encryption_key=key,
            removal_policy=kept(environment),
            empty_on_delete=environment.name == "dev",
            lifecycle_rules=[
                ecr.LifecycleRule(
                    description="What lost its tag",
                    tag_status=ecr.TagStatus.UNTAGGED,
                    max_image_age=Duration.days(14),
                    rule_priority=1,
                ),
                ecr.LifecycleRule(
                    description="The newest",
                    tag_status=ecr.TagStatus.ANY,
                    max_image_count=_KEPT_IMAGES,
                    rule_priority=2,
                ),
            ],
        )
        if image == "control":
            repository.add_to_resource_policy(_lambda_pulls(environment))


def _lambda_pulls(environment: Environment) -> Any:
    return iam.PolicyStatement(
        sid="FunctionsPull",
        principals=[iam.ServicePrincipal("lambda.amazonaws.com")],
        actions=["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        conditions={"ArnLike": {"aws:SourceArn": environment.arn("lambda", f"function:{environment.project}-*")}},
    )
