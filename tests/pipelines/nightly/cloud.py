"""An environment in moto: its buckets, its deployed pipeline and its registry, for the night and its function."""

import json
import threading
from datetime import UTC, datetime, timedelta

import boto3
import pandas as pd
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.responses import ActionResult
from moto.sagemaker.responses import SageMakerResponse

from pipelines.data.catalogue import Catalogue
from pipelines.definition.parameters import pipeline_parameters
from pipelines.definition.settings import Settings
from pipelines.environment import Environment
from pipelines.executor.files import walk_files
from pipelines.executor.store import LocalStore
from pipelines.nightly.decide import Rules
from pipelines.nightly.night import hold_night
from pipelines.nightly.site_aws import CloudSite
from pipelines.storage.s3 import S3Objects
from steps.core.dataset.classes import Classes
from tests.pipelines.registered import FilledRegistry

ENVIRONMENT = Environment("dev", "123456789012", "eu-west-1")
PERSON = "arn:aws:sts::123456789012:assumed-role/tilegate-dev-approver/ann"
KINDS = {str: "String", int: "Integer", float: "Float"}


def definition(*, parents=0, image="data@sha256:1", more=()):
    """Return a definition with the real parameters, as it is deployed, and one step."""
    settings = Settings(
        bucket=ENVIRONMENT.data_bucket, artifact_bucket=ENVIRONMENT.artifact_bucket, warm_start_parents=parents
    )
    declared = [
        {"Name": p.name, "Type": KINDS[p.kind]} | ({} if p.default is None else {"DefaultValue": p.default})
        for p in pipeline_parameters(settings)
    ]
    steps = [{"Name": "ValidateData", "Type": "Processing", "Arguments": {"AppSpecification": {"ImageUri": image}}}]
    return json.dumps({"Version": "2020-12-01", "Parameters": [*declared, *more], "Steps": steps})


class Cloud:
    """An environment whose pipeline is deployed and whose inbox has become batches."""

    def __init__(self, clients):
        self.s3, self.sagemaker = clients["s3"], clients["sagemaker"]
        location = {"LocationConstraint": "eu-west-1"}
        for bucket in (ENVIRONMENT.data_bucket, ENVIRONMENT.artifact_bucket):
            self.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=location)
        self.data = S3Objects(self.s3, ENVIRONMENT.data_bucket)
        self.artifacts = S3Objects(self.s3, ENVIRONMENT.artifact_bucket)
        self.sagemaker.create_pipeline(
            PipelineName=ENVIRONMENT.pipeline,
            PipelineDefinition=definition(),
            RoleArn=ENVIRONMENT.role_arn("pipeline"),
            ClientRequestToken="t" * 32,
        )
        self.registry = FilledRegistry(self.sagemaker, self.artifacts, ENVIRONMENT, identity=lambda: PERSON)

    def site(self, *, settle=None, **chosen):
        parts = {
            "client": self.sagemaker,
            "data": self.data,
            "artifacts": self.artifacts,
            "registry": lambda: self.registry,
        }
        return CloudSite(ENVIRONMENT, **parts, chosen=chosen, settle=settle)

    def hold(self, site=None, **rules):
        return hold_night(site or self.site(), Rules(**rules))

    def deploy(self, **changed):
        self.sagemaker.update_pipeline(PipelineName=ENVIRONMENT.pipeline, PipelineDefinition=definition(**changed))

    def executions(self):
        listed = self.sagemaker.list_pipeline_executions(PipelineName=ENVIRONMENT.pipeline)
        return [summary["PipelineExecutionArn"] for summary in listed["PipelineExecutionSummaries"]]

    def parameters(self, number=-1):
        told = self.sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=self.executions()[number])
        return {parameter["Name"]: parameter["Value"] for parameter in told["PipelineParameters"]}


class Batches:
    """Adds batches of screenshots to the catalogue in the data bucket, a day after each other."""

    def __init__(self, cloud, folder):
        self._cloud, self._folder, self._days = cloud, folder, 0
        self._store, self._uploaded = LocalStore(folder / "store"), set()

    def __call__(self, *names):
        self._days += 1
        folder = self._folder / "-".join(names)
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(name.encode())
        pd.DataFrame({"path": names, "label": 1}).to_csv(folder / "labels.csv", index=False)
        clock = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=self._days)
        Catalogue(self._store, Settings(), clock=lambda: clock).add(folder, classes=Classes.parse("other,promotion"))
        for key, path in walk_files(self._store.path(Settings().uri())):
            if key not in self._uploaded:
                self._cloud.data.upload(path, key)
                self._uploaded.add(key)


def new_clients():
    known = {"region_name": "eu-west-1", "aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return {service: boto3.client(service, **known) for service in ("s3", "sagemaker")}


def teach_moto(monkeypatch):
    """Teach moto the steps of an execution (none), and that S3 checks a condition and writes in one."""
    answer, one = BotocoreStubber.__call__, threading.RLock()

    def in_turn(self, *args, **kwargs):
        with one:
            return answer(self, *args, **kwargs)

    monkeypatch.setattr(BotocoreStubber, "__call__", in_turn)
    steps = ActionResult({"PipelineExecutionSteps": []})
    monkeypatch.setattr(SageMakerResponse, "list_pipeline_execution_steps", lambda _: steps, raising=False)
