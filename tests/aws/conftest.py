"""Both stacks of prod, deployed into moto."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import pytest
from click.testing import CliRunner, Result
from moto import mock_aws
from moto.s3.models import s3_backends

from infra.options import Options
from infra.template.synth import synthesise
from pipelines.cli import cli
from pipelines.environment import Environment
from pipelines.storage.s3 import S3Objects
from tests.aws.delivery import emit, fire
from tests.aws.functions import Functions, credentials_of
from tests.aws.moto_aws import extended_moto
from tests.infra.conftest import ACCOUNT, PREFIX_LIST, REGION, images_of

_SETTLED = timedelta(minutes=20)


@dataclass
class Cloud:
    """A deployed environment; `templates` are what was deployed, by stack name."""

    environment: Environment
    functions: Functions
    templates: Mapping[str, Any]
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """Return a client of whoever acts: of an administrator, if nobody does."""
        who = (os.environ["AWS_ACCESS_KEY_ID"], service)
        if who not in self._clients:
            # boto3.client would keep the credentials of the first who asked.
            self._clients[who] = boto3.Session(region_name=REGION).client(service)
        return self._clients[who]

    @property
    def data(self) -> S3Objects:
        return S3Objects(self.client("s3"), self.environment.data_bucket)

    @property
    def artifacts(self) -> S3Objects:
        return S3Objects(self.client("s3"), self.environment.artifact_bucket)

    @property
    def releases(self) -> S3Objects:
        return S3Objects(self.client("s3"), self.environment.release_bucket)

    def emit(self, kind: str, detail: Mapping[str, Any]) -> None:
        emit(kind, detail, account=ACCOUNT, region=REGION)

    def fire(self) -> bool:
        """Let it be the hour of the nightly schedule."""
        return fire(self.functions, self.environment.schedule, account=ACCOUNT, region=REGION)

    def executions(self) -> list[str]:
        """Return the ARNs of all executions, the newest first."""
        listed = self.client("sagemaker").list_pipeline_executions(PipelineName=self.environment.pipeline)
        return [summary["PipelineExecutionArn"] for summary in listed["PipelineExecutionSummaries"]]

    def drop(self, folder: Path, name: str) -> None:
        """Put a folder into the inbox, as somebody did who ended long enough ago."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.data.upload(path, f"inbox/{name}/{path.relative_to(folder).as_posix()}")
        bucket = s3_backends[ACCOUNT]["aws"].buckets[self.environment.data_bucket]
        for key in bucket.keys.values():
            key.last_modified -= _SETTLED

    @contextmanager
    def acting(self, duty: str, name: str) -> Iterator[None]:
        """Be a person who has taken on the role of a duty."""
        with mock.patch.dict(os.environ, credentials_of(self.environment.role_arn(duty), name, REGION)):
            yield

    def command(self, duty: str, *words: str) -> Result:
        """Run `tilegate` as somebody who has taken on the role of a duty; `--env` is given."""
        with self.acting(duty, "ada"):
            return CliRunner().invoke(cli, [*words, "--env", self.environment.name])

    def messages(self, queue: str) -> list[Any]:
        """Take what waits in a queue."""
        sqs = self.client("sqs")
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        told = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in told.get("Messages", [])]

    def letters(self, function: str) -> list[Any]:
        return self.messages(f"{self.environment.function(function)}-dead-letters")

    def listen(self) -> str:
        """Subscribe a queue to the alerts, and return its name."""
        sqs, sns, name = self.client("sqs"), self.client("sns"), "people"
        sqs.create_queue(QueueName=name)
        topic = self.environment.arn("sns", self.environment.alerts_topic)
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=self.environment.arn("sqs", name))
        return name

    def resources(self, stack: str) -> dict[str, str]:
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        made = [resource for page in pages for resource in page["StackResourceSummaries"]]
        return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in made}

    def has_data(self, alarm: str) -> bool:
        """Tell whether there is a value of the very metric that an alarm watches."""
        watch = self.client("cloudwatch")
        (found,) = watch.describe_alarms(AlarmNames=[f"{self.environment.project}-{alarm}"])["MetricAlarms"]
        assert found["AlarmActions"] == [self.environment.arn("sns", self.environment.alerts_topic)]
        metrics = watch.list_metrics(Namespace=found["Namespace"], MetricName=found["MetricName"])["Metrics"]
        return found["Dimensions"] in [metric["Dimensions"] for metric in metrics]


@pytest.fixture(scope="session")
def prod_templates() -> Mapping[str, Any]:
    environment = Environment("prod", ACCOUNT, REGION)
    return synthesise(environment, images_of(environment), Options(s3_prefix_list=PREFIX_LIST))


@contextmanager
def deployed(templates: Mapping[str, Any]) -> Iterator[Cloud]:
    known = {"AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION}
    with mock_aws(), mock.patch.dict(os.environ, known), extended_moto() as functions:
        cloud = Cloud(Environment("prod", ACCOUNT, REGION), functions, templates)
        # There is no MLflow here for it to write to.
        functions.stand_ins[cloud.environment.function("recorder")] = lambda _event, _context: None
        formation = cloud.client("cloudformation")
        for name, template in templates.items():
            formation.create_stack(
                StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_NAMED_IAM"]
            )
        yield cloud


@pytest.fixture
def cloud(prod_templates) -> Iterator[Cloud]:
    with deployed(prod_templates) as made:
        yield made


@pytest.fixture(scope="module")
def one_cloud(prod_templates) -> Iterator[Cloud]:
    """For tests that leave nothing which another would mind."""
    with deployed(prod_templates) as made:
        yield made
