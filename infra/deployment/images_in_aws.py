"""The images of a deployment in their repositories: whether they are there, and how they get there."""

from dataclasses import asdict
from typing import Any

from infra.options import Images
from pipelines.aws.session import aws_errors
from pipelines.environment import Environment
from steps.core.common.errors import UserError

_ENDS = (("data", " \\"), ("model", " \\"), ("control", ""))
_GONE = ("ImageNotFoundException", "RepositoryNotFoundException")


def registry_of(environment: Environment) -> str:
    suffix = "amazonaws.com.cn" if environment.partition == "aws-cn" else "amazonaws.com"
    return f"{environment.account}.dkr.ecr.{environment.region}.{suffix}"


def check_images(images: Images, environment: Environment, ecr: Any) -> None:
    """Raise UserError for an image that was not pushed: its jobs would fail at night. `ecr` is boto3's client.

    Images of other registries are left to whoever runs them.
    """
    from botocore.exceptions import ClientError

    for name, uri in asdict(images).items():
        place, _, digest = uri.partition("@")
        registry, _, repository = place.partition("/")
        if registry != registry_of(environment):
            continue
        with aws_errors(f"look for the {name} image"):
            try:
                ecr.describe_images(repositoryName=repository, imageIds=[{"imageDigest": digest}])
            except ClientError as error:
                if error.response["Error"]["Code"] not in _GONE:
                    raise
                raise UserError(
                    f"the {name} image {uri} is not there: push it first, and name the digest it got"
                ) from None


def how_to_push(environment: Environment) -> str:
    """Return what to do after the repositories were made."""
    registry = registry_of(environment)
    return "\n".join(
        [
            "The repositories are there. Push an image to each, then deploy again, with the digests that they got:",
            f"  tilegate deploy --env {environment.name} \\",
            *(f"    --{name}-image {registry}/{environment.repository(name)}@sha256:…{end}" for name, end in _ENDS),
        ]
    )
