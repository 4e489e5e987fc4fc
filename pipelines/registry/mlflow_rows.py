"""Model versions read from the rows of a home's MLflow store: importing MLflow for that costs 4 CPU seconds.

Only of the schema whose revision is named here. A store names its own, and MLflow itself opens no other than its own.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipelines.tracking.locations import recorded_root, relocated

REVISION = "dc11669786a5"  # of MLflow 3.17
_BUSY_SECONDS = 60.0
# As MLflow's own search: what was deleted keeps its row.
_VERSIONS = (
    "SELECT version, creation_time, description, source FROM model_versions "
    "WHERE workspace = 'default' AND name = ? AND current_stage <> 'Deleted_Internal'"
)
_TAGS = "SELECT version, key, value FROM model_version_tags WHERE workspace = 'default' AND name = ?"


@dataclass(frozen=True, slots=True)
class VersionRow:
    """What of MLflow's ModelVersion a registry reads; `source` is in the home, wherever that was before."""

    name: str
    version: int
    creation_timestamp: int
    description: str | None
    source: str
    tags: Mapping[str, str]


def version_rows(home: Path, database: Path, group: str) -> list[VersionRow] | None:
    """Return the versions of a group, none if there is no store; None if its schema is not the one known here.

    Writes nothing, so that a home may be read-only. Raises sqlite3.Error for a file that is no such store.
    """
    if not database.exists():
        return []
    # Not mode=ro: what a killed writer left has to be rolled back; SQLite falls back to reading where it may not.
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS)) as connection:
        connection.execute("BEGIN")  # one state of the store for all of what follows
        if connection.execute("SELECT version_num FROM alembic_version").fetchall() != [(REVISION,)]:
            return None
        tags: dict[int, dict[str, str]] = {}
        for version, key, value in connection.execute(_TAGS, (group,)):
            tags.setdefault(version, {})[key] = value
        recorded = recorded_root(connection)
        return [
            VersionRow(group, version, created, description, relocated(source, recorded, home), tags.get(version, {}))
            for version, created, description, source in connection.execute(_VERSIONS, (group,))
        ]
