"""Publishers as they really are: on one machine, and in moto with S3, KMS and SageMaker's registry."""

import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.release.signers import LocalSigner
from pipelines.storage.folder import FolderObjects
from pipelines.tracking.database import database_path, open_client
from tests.pipelines.release.kit import Bench, make_signing_key, new_clients, open_cloud, teach_moto_digests


@pytest.fixture(scope="session")
def migrated(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("migrated")
    open_client(home).search_experiments()
    return database_path(home)


@pytest.fixture
def home(tmp_path, migrated) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copyfile(migrated, database_path(home))
    return home


@pytest.fixture
def here(tmp_path, home) -> Bench:
    numbers = itertools.count()
    return Bench(
        MlflowRegistry(home),
        LocalSigner(home / "keys"),
        lambda: FolderObjects(tmp_path / f"releases-{next(numbers)}", "releases"),
        tmp_path,
    )


@pytest.fixture(scope="session")
def clients() -> dict[str, Any]:
    """Made once, because each costs as much as a test; moto answers to them as long as it is switched on."""
    return new_clients()


@pytest.fixture
def signing_key(clients, monkeypatch) -> str:
    teach_moto_digests(monkeypatch)
    with mock_aws():
        yield make_signing_key(clients)


@pytest.fixture
def cloud(clients, signing_key, tmp_path) -> Bench:
    return open_cloud(clients, tmp_path, signing_key)


@pytest.fixture(params=["here", "cloud"])
def bench(request) -> Bench:
    return request.getfixturevalue(request.param)
