"""One deployment of tilegate in AWS, and what everything in it is called.

Infrastructure, commands and Lambda functions take each name from here, so that none has to look another's up. Names
follow from the environment, the account and the region alone.
"""

import re
from dataclasses import dataclass

from pipelines.definition.settings import PIPELINE_NAME, Settings
from steps.core.common.errors import UserError

LOCAL = "local"
ENVIRONMENTS = ("dev", "prod")
# Where batches are dropped in the data bucket.
INBOX = "inbox/"
_ACCOUNT = re.compile(r"\d{12}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")


@dataclass(frozen=True, slots=True)
class Environment:
    """`name` is dev or prod; `account` is twelve digits (or a CDK token), `region` such as eu-west-1.

    Raises UserError for anything else.
    """

    name: str
    account: str
    region: str
    partition: str = "aws"

    def __post_init__(self) -> None:
        if self.name not in ENVIRONMENTS:
            raise UserError(f"environment {self.name!r}: one of {', '.join(ENVIRONMENTS)} is wanted")
        if not _is_token(self.account) and not _ACCOUNT.fullmatch(self.account):
            raise UserError(f"account {self.account!r}: the twelve digits of an AWS account are wanted")
        if not _is_token(self.region) and not _REGION.fullmatch(self.region):
            raise UserError(f"region {self.region!r}: the name of an AWS region such as eu-west-1 is wanted")

    @property
    def project(self) -> str:
        """The prefix of every name, and the name of the stack."""
        return f"{PIPELINE_NAME}-{self.name}"

    @property
    def images_stack(self) -> str:
        """The stack of what has to be there before images can be pushed."""
        return f"{self.project}-images"

    @property
    def pipeline(self) -> str:
        return self.project

    @property
    def model_package_group(self) -> str:
        return f"{self.project}-screenshots"

    @property
    def data_bucket(self) -> str:
        """Labelled batches, snapshots, plans, facts and tiles."""
        return self._bucket("data")

    @property
    def artifact_bucket(self) -> str:
        """What runs leave behind: models, reports, the ledger, decisions, the nights' records, MLflow's artefacts."""
        return self._bucket("artifacts")

    @property
    def release_bucket(self) -> str:
        """What phones may read, and the publisher alone may write."""
        return self._bucket("releases")

    @property
    def access_log_bucket(self) -> str:
        return self._bucket("access-logs")

    @property
    def deploy_bucket(self) -> str:
        """Templates on their way to CloudFormation; `tilegate deploy` makes it."""
        return self._bucket("deploy")

    def repository(self, image: str) -> str:
        """Return the ECR repository of an image: data, model or control."""
        return f"{self.project}/{image}"

    def role(self, duty: str) -> str:
        """Return the role of a duty.

        Duties are pipeline, data, training, judge, starter, publisher, approver, scheduler, operator.
        """
        return f"{self.project}-{duty}"

    def role_arn(self, duty: str) -> str:
        return f"arn:{self.partition}:iam::{self.account}:role/{self.role(duty)}"

    def function(self, name: str) -> str:
        """Return the Lambda function: starter or publisher."""
        return f"{self.project}-{name}"

    @property
    def schedule(self) -> str:
        return f"{self.project}-nightly"

    @property
    def signing_key_alias(self) -> str:
        return f"alias/{self.project}-release-signing"

    @property
    def mlflow(self) -> str:
        """The managed MLflow, an app or a tracking server."""
        return f"{self.project}-mlflow"

    @property
    def alerts_topic(self) -> str:
        return f"{self.project}-alerts"

    @property
    def metric_namespace(self) -> str:
        """CloudWatch metrics of the nights: Decisions, Rejections."""
        return self.project

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    @property
    def pipeline_arn(self) -> str:
        return self.arn("sagemaker", f"pipeline/{self.pipeline}")

    def settings(self) -> Settings:
        """Return the settings of this environment's pipeline, with the local images, outside of any network.

        Its jobs have no way out of the network that the stack has made for them, and encrypt their traffic.
        """
        return Settings(
            name=self.pipeline,
            region=self.region,
            bucket=self.data_bucket,
            artifact_bucket=self.artifact_bucket,
            role_arn=self.role_arn("pipeline"),
            job_role_prefix=self.role_arn(""),
            model_package_group=self.model_package_group,
            is_isolated=True,
        )

    def _bucket(self, what: str) -> str:
        return f"{self.project}-{what}-{self.account}-{self.region}"


def _is_token(text: str) -> bool:
    return text.startswith("${Token[")
