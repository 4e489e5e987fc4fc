"""The MLflow store of a home: one SQLite file, one folder of artefacts, no server."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.locks import exclusive
from pipelines.tracking.experiment import open_experiment
from pipelines.tracking.locations import artifact_root, relocate

if TYPE_CHECKING:
    from mlflow import MlflowClient


def database_path(home: Path) -> Path:
    return home.resolve() / "mlflow.db"


def database_uri(home: Path) -> str:
    return f"sqlite:///{database_path(home)}"


def open_client(home: Path) -> "MlflowClient":
    """Return a client of the home's store, which is created first, or made to name this home if it was elsewhere.

    Imports MLflow (2 to 3 CPU seconds). The client never touches MLflow's global tracking URI or active run.
    """
    quieten()
    from mlflow import MlflowClient

    relocate(home, database_path(home))
    if not database_path(home).exists():
        _create_database(home)
    uri = database_uri(home)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def experiment_id(client: "MlflowClient", home: Path, name: str) -> str:
    """Return the id of the experiment `name`, created (or restored, if it was deleted in the UI) when needed."""
    # Two processes may both find it missing: the second to create it would only be told that it exists.
    with exclusive(home.resolve() / "mlflow.lock"):
        # Not the id: it would be given out again if the database were made anew over kept artefacts.
        folder = artifact_root(home) / "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
        return open_experiment(client, name, folder.as_uri())


def quieten() -> None:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # Migrations announce themselves at INFO; database errors are logged with a traceback and then raised as well.
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _create_database(home: Path) -> None:
    """Migrate a new database beside its place and rename it in: a kill in the middle leaves none, not half a schema."""
    path = database_path(home)
    with exclusive(home.resolve() / "mlflow.lock"):
        if path.exists():
            return
        beside = path.with_name("mlflow.db.new")
        beside.unlink(missing_ok=True)
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        store = SqlAlchemyStore(f"sqlite:///{beside}", artifact_root(home).as_uri())
        store.engine.dispose()
        beside.replace(path)
