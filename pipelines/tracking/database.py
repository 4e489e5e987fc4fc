"""The MLflow store of a home: one SQLite file, one folder of artefacts, no server.

MLflow keeps absolute URIs. Of a home that was copied or moved they mean the place where it was made: they are rewritten
when the store is opened.
"""

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.locks import exclusive
from pipelines.tracking.experiment import open_experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ARTIFACTS = "mlartifacts"
_BUSY_SECONDS = 60.0


def database_path(home: Path) -> Path:
    return home.resolve() / "mlflow.db"


def database_uri(home: Path) -> str:
    return f"sqlite:///{database_path(home)}"


def artifact_root(home: Path) -> Path:
    return home.resolve() / _ARTIFACTS


def open_client(home: Path) -> "MlflowClient":
    """Return a client of the home's store, which is created first, or made to name this home if it was elsewhere.

    Imports MLflow (2 to 3 CPU seconds). The client never touches MLflow's global tracking URI or active run.
    """
    quieten()
    from mlflow import MlflowClient

    with exclusive(home.resolve() / "mlflow.lock"):
        if database_path(home).exists():
            _relocate(home)
        else:
            _create(home)
    return MlflowClient(tracking_uri=database_uri(home), registry_uri=database_uri(home))


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


def _create(home: Path) -> None:
    """Migrate a new database beside its place and rename it in: a kill in the middle leaves none, not half a schema."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    beside = database_path(home).with_name("mlflow.db.new")
    beside.unlink(missing_ok=True)
    SqlAlchemyStore(f"sqlite:///{beside}", artifact_root(home).as_uri()).engine.dispose()
    beside.replace(database_path(home))


def _relocate(home: Path) -> None:
    """Make all rows of the home's store name the home's own folder; either all are rewritten or none is.

    Whatever begins with the recorded folder is a location, in any table: experiments, runs, versions and what else
    MLflow has. The home that they come from is not touched.
    """
    root = artifact_root(home).as_uri()
    with closing(sqlite3.connect(database_path(home), timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
        recorded = _recorded_root(connection)
        if recorded in {None, root}:
            return
        connection.execute("BEGIN IMMEDIATE")  # closing without COMMIT rolls back
        columns = connection.execute(
            "SELECT tables.name, columns.name FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns "
            "WHERE tables.type = 'table' AND (columns.type LIKE '%CHAR%' OR columns.type = 'TEXT')"
        )
        for table, column in columns.fetchall():
            connection.execute(
                f'UPDATE "{table}" SET "{column}" = ? || substr("{column}", ?) WHERE substr("{column}", 1, ?) = ?',  # noqa: S608 (names of the schema)
                (root, len(recorded) + 1, len(recorded) + 1, f"{recorded}/"),
            )
        connection.execute("COMMIT")


def _recorded_root(connection: sqlite3.Connection) -> str | None:
    """Return the URI of the artefacts' folder as the store has it; None if no home of ours is named.

    MLflow writes it into the experiment 0, Default, when it makes the store, and so do we when a home has moved.
    """
    row = connection.execute("SELECT artifact_location FROM experiments WHERE experiment_id = 0").fetchone()
    root, _, last = str(row[0]).rpartition("/") if row else ("", "", "")
    return root if last == "0" and root.startswith("file:") and root.endswith(f"/{_ARTIFACTS}") else None
