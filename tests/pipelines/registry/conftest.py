"""The shared suite takes `registry`: a second implementation joins by one more parameter here."""

import gzip
import io
import shutil
import tarfile
from pathlib import Path

import pytest

from pipelines.registry import MlflowRegistry
from pipelines.tracking.database import database_path, open_client


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


@pytest.fixture(params=["mlflow"])
def registry(request, home):
    return MlflowRegistry(home)


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
            "CustomerMetadataProperties": {"pipeline_execution": execution, "dataset": "d1"},
            "InferenceSpecification": {"Containers": [{"ModelDataUrl": "s3://bucket/model.tar.gz"}]},
            **other,
        }

    return make
