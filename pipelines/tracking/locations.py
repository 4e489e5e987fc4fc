"""The folder of artefacts that an MLflow store names in its rows, and that of the home it lies in now.

MLflow keeps absolute URIs. Of a home that was copied or moved they mean the place where it was made.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from pipelines.locks import exclusive

ARTIFACTS = "mlartifacts"
_BUSY_SECONDS = 60.0


def artifact_root(home: Path) -> Path:
    return home.resolve() / ARTIFACTS


def recorded_root(connection: sqlite3.Connection) -> str | None:
    """Return the URI of the artefacts' folder as the store has it; None if no home of ours is named.

    MLflow writes it into the experiment 0, Default, when it makes the store, and so do we when a home has moved.
    """
    row = connection.execute("SELECT artifact_location FROM experiments WHERE experiment_id = 0").fetchone()
    root, _, last = str(row[0]).rpartition("/") if row else ("", "", "")
    return root if last == "0" and root.startswith("file:") and root.endswith(f"/{ARTIFACTS}") else None


def relocate(home: Path, database: Path) -> None:
    """Make all rows of the home's store name the home's own folder; either all are rewritten or none is.

    Whatever begins with the recorded folder is a location, in any table: experiments, runs, versions and what else
    MLflow has. The home that they come from is not touched.
    """
    root = artifact_root(home).as_uri()
    if not database.exists():
        return
    with closing(sqlite3.connect(database, timeout=_BUSY_SECONDS)) as connection:
        if recorded_root(connection) in {None, root}:
            return
    with (
        exclusive(home.resolve() / "mlflow.lock"),
        closing(sqlite3.connect(database, timeout=_BUSY_SECONDS, isolation_level=None)) as connection,
    ):
        connection.execute("BEGIN IMMEDIATE")  # closing without COMMIT rolls back
        recorded = recorded_root(connection)
        if recorded is None or recorded == root:
            return
        for table, column in _columns(connection):
            connection.execute(
                f'UPDATE "{table}" SET "{column}" = ? || substr("{column}", ?) WHERE substr("{column}", 1, ?) = ?',  # noqa: S608 (names of the schema)
                (root, len(recorded) + 1, len(recorded) + 1, f"{recorded}/"),
            )
        connection.execute("COMMIT")


def _columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute(
        "SELECT tables.name, columns.name FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns "
        "WHERE tables.type = 'table' AND (columns.type LIKE '%CHAR%' OR columns.type = 'TEXT')"
    ).fetchall()
