"""Content digests of files, remembered between runs so that unchanged bytes are read once."""

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

# A file touched again within one tick of the file system's clock would look unchanged: do not remember such a one.
_TICK_NS = 20_000_000
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS files "
    "(path BLOB PRIMARY KEY, inode INTEGER, size INTEGER, mtime_ns INTEGER, sha256 TEXT) WITHOUT ROWID"
)
_RECALL = "SELECT sha256 FROM files WHERE path = ? AND inode = ? AND size = ? AND mtime_ns = ?"
_REMEMBER = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)"


class FileDigests:
    """sha256 of files, remembered by (path, inode, size, mtime) in SQLite. Safe between threads and processes.

    The file is a memory, not a record: losing it costs reading again, so a broken one is thrown away.
    """

    def __init__(self, database: Path) -> None:
        self._database = database

    def sha256(self, paths: Iterable[Path]) -> list[str]:
        """Return the sha256 of each file, in lower-case hex; raises OSError for one that cannot be read."""
        files = [(path, path.stat()) for path in paths]
        rows = [(os.fsencode(path), stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in files]
        known = self._use(lambda memory: [memory.execute(_RECALL, row).fetchone() for row in rows])
        digests, fresh = [], []
        for (path, stat), row, found in zip(files, rows, known or [None] * len(rows), strict=True):
            if found is not None:
                digests.append(found[0])
                continue
            settled = time.time_ns() - stat.st_mtime_ns > _TICK_NS
            with path.open("rb") as stream:
                digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
            if settled:
                fresh.append((*row, digests[-1]))
        if fresh:
            self._use(lambda memory: list(memory.executemany(_REMEMBER, fresh)))
        return digests

    def _use(self, work: Callable[[sqlite3.Connection], list[Any]]) -> list[Any]:
        """Return what `work` finds in the memory, nothing if it cannot be used now."""
        try:
            self._database.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(self._database, timeout=30)) as memory, memory:
                memory.execute("PRAGMA journal_mode=WAL")
                memory.execute("PRAGMA synchronous=OFF")
                memory.execute(_SCHEMA)
                return work(memory)
        except sqlite3.OperationalError:
            pass  # busy or read-only: the bytes are read again next time
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                self._database.with_name(self._database.name + suffix).unlink(missing_ok=True)
        return []
