"""The rows of MLflow's store, read without MLflow: the same as MLflow reads, or not read at all."""

import sqlite3

import pytest

from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.registry.mlflow_rows import REVISION, version_rows
from pipelines.tracking.database import database_path, open_client


@pytest.fixture
def registered(home, bundle, request_of):
    """Return a home with versions: decided on, waiting, made by hand, deleted, and of another group."""
    registry = MlflowRegistry(home)
    for text in ("first", "second", "third"):
        registry.register(request_of(), bundle(text))
    registry.register(request_of(group="others"), bundle("fourth"))
    registry.approve("screenshots", 1, by="Ann", reason="good")
    client = open_client(home)
    client.create_model_version("screenshots", "file:///tmp/anything")
    client.delete_model_version("screenshots", "2")
    return home


def test_mlflow_reads_the_same(registered):
    read = {
        version.version: (version.creation_timestamp, version.description, version.source, version.tags)
        for version in open_client(registered).search_model_versions("name = 'screenshots'")
    }
    rows = version_rows(registered, database_path(registered), "screenshots")
    assert {row.version: (row.creation_timestamp, row.description, row.source, row.tags) for row in rows} == read
    assert len(read) == 3


def test_the_installed_mlflow_makes_stores_of_the_known_schema(home):
    with sqlite3.connect(database_path(home)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(REVISION,)]


def test_rows_of_another_schema_are_left_to_mlflow(registered, monkeypatch):
    known = MlflowRegistry(registered).versions("screenshots")
    monkeypatch.setattr("pipelines.registry.mlflow_rows.REVISION", "of tomorrow")
    assert version_rows(registered, database_path(registered), "screenshots") is None
    assert MlflowRegistry(registered).versions("screenshots") == known


def test_a_home_without_a_store_has_no_versions_and_gets_none_by_looking(tmp_path):
    assert MlflowRegistry(tmp_path / "home").versions("screenshots") == []
    assert not (tmp_path / "home").exists()
