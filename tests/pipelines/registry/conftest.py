"""The shared suite takes `registry`: another implementation joins by one more parameter here."""

import gzip
import io
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from pipelines.environment import Environment
from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.storage.s3 import S3Objects
from pipelines.tracking.database import database_path, open_client
from tests.pipelines.registered import FilledRegistry

PERSON = "arn:aws:sts::123456789012:assumed-role/tilegate-dev-approver/ann"


@pytest.fixture(scope="session")
def migrated(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("migrated")
    open_client(home).search_experiments()
    return database_path(home)


@pytest.fixture
def home(tmp_path, migrated) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copyfile(migrated, folder / "mlflow.db")
    return folder


@dataclass
class Cloud:
    """An environment in moto; `registry` makes what decides as `identity`."""

    environment: Environment
    sagemaker: Any
    objects: S3Objects

    def registry(self, identity: str = PERSON, **parts: Any) -> FilledRegistry:
        chosen = {"client": self.sagemaker, "artifacts": self.objects, "environment": self.environment, **parts}
        return FilledRegistry(**chosen, identity=lambda: identity)


@pytest.fixture(scope="session")
def clients() -> dict[str, Any]:
    """Made once, because each costs as much as a test; moto answers to them as long as it is switched on."""
    known = {"region_name": "eu-west-1", "aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return {service: boto3.client(service, **known) for service in ("s3", "sagemaker")}


@pytest.fixture
def cloud(clients):
    with mock_aws():
        environment = Environment("dev", "123456789012", "eu-west-1")
        s3, sagemaker = clients["s3"], clients["sagemaker"]
        location = {"LocationConstraint": "eu-west-1"}
        s3.create_bucket(Bucket=environment.artifact_bucket, CreateBucketConfiguration=location)
        yield Cloud(environment, sagemaker, S3Objects(s3, environment.artifact_bucket))


@pytest.fixture(params=["mlflow", "sagemaker"])
def registry(request):
    if request.param == "mlflow":
        return MlflowRegistry(request.getfixturevalue("home"))
    return request.getfixturevalue("cloud").registry()


@pytest.fixture
def bundle(tmp_path):
    """Make a model.tar.gz; other text, other bytes."""

    def make(text: str = "weights", *, name: str = "model.tflite") -> Path:
        path = tmp_path / f"data-{abs(hash((text, name)))}" / "model.tar.gz"
        path.parent.mkdir(exist_ok=True)
        content = text.encode()
        # gzip writes the time into its header: without mtime=0 the same text is other bytes a second later.
        with (
            path.open("wb") as raw,
            gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        return path

    return make


@pytest.fixture
def request_of():
    """Make a CreateModelPackage request as RegisterModel's evaluated arguments are."""

    def make(execution: str = "20261123-051455-k3v9", group: str = "screenshots", **other):
        source = {"ContentType": "application/json", "S3Uri": "s3://bucket/evaluation/evaluation.json"}
        return {
            "ModelPackageGroupName": group,
            "ModelPackageDescription": "a candidate",
            "ModelApprovalStatus": "PendingManualApproval",
            "ModelMetrics": {"ModelQuality": {"Statistics": source}, "Bias": {}},
            "CustomerMetadataProperties": {"execution": execution, "dataset": "d1"},
            "InferenceSpecification": {"Containers": [{"ModelDataUrl": "s3://bucket/model.tar.gz"}]},
            **other,
        }

    return make
