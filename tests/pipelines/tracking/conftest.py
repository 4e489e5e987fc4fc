"""Events of the executor played into a tracker over a real MLflow store, migrated once and copied for each test."""

import json
import shutil
from pathlib import Path

import pytest

from pipelines.executor.events import ExecutionStarted
from pipelines.storage.folder import FolderObjects
from pipelines.tracking.database import database_path, open_client
from pipelines.tracking.listener import MlflowTracker
from tests.pipelines.tracking.service import Service

EXECUTION = "20261123-051455-k3v9"


@pytest.fixture(scope="session")
def migrated(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("migrated")
    open_client(home).search_experiments()
    return database_path(home)


class Played:
    """A home, the tracker's view of its store, and the events that most tests begin with."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.store = home / "store"
        self.execution = EXECUTION

    def started(self, execution: str = EXECUTION, **parameters) -> ExecutionStarted:
        run_dir = self.home / "runs" / execution
        run_dir.mkdir(parents=True, exist_ok=True)
        return ExecutionStarted(execution, "screenshots", parameters, "d" * 64, run_dir)

    def tracker(self, **options) -> MlflowTracker:
        return MlflowTracker(self.home, resolve=self.resolve, **options)

    def play(self, *events, **options) -> MlflowTracker:
        tracker = self.tracker(**options)
        for event in events:
            tracker(event)
        tracker.close()
        assert tracker.problem is None
        return tracker

    def resolve(self, uri: str) -> Path:
        return self.store / uri.removeprefix("s3://")

    def put(self, uri: str, content) -> str:
        path = self.resolve(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return uri

    @property
    def client(self):
        return open_client(self.home)

    def runs(self) -> dict:
        """Return the experiment's runs by name; of two with one name, the later."""
        experiment = self.client.get_experiment_by_name("screenshots")
        found = self.client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
        return {run.info.run_name: run for run in found}

    def files(self, run, folder: str | None = None) -> set[str]:
        found: set[str] = set()
        for entry in self.client.list_artifacts(run.info.run_id, folder):
            found |= self.files(run, entry.path) if entry.is_dir else {entry.path}
        return found


@pytest.fixture
def played(tmp_path, migrated) -> Played:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copyfile(migrated, home / "mlflow.db")
    return Played(home)


@pytest.fixture
def service():
    return Service()


@pytest.fixture
def buckets(tmp_path):
    return [FolderObjects(tmp_path / name, name) for name in ("data", "artifacts")]
