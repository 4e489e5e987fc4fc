"""Content digests of files, remembered between runs so that unchanged bytes are read once."""

import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterable
from pathlib import Path

# A file touched again within one tick of the file system's clock would look unchanged: do not remember such a one.
_TICK_NS = 20_000_000
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS files "
    "(path BLOB PRIMARY KEY, inode INTEGER, size INTEGER, mtime_ns INTEGER, sha256 TEXT) WITHOUT ROWID"
)


class FileDigests:
    """sha256 of files, remembered by (path, inode, size, mtime) in SQLite. Safe between threads and processes.

    The file is a memory, not a record: losing it costs reading again, so a broken one is thrown away.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def sha256(self, paths: Iterable[Path]) -> list[str]:
        """Return the sha256 of each file, in lower-case hex; raises OSError for one that cannot be read."""
        files = [(os.fsencode(path), path, path.stat()) for path in paths]
        known = self._recall([name for name, _, _ in files])
        digests, fresh = [], []
        for name, path, stat in files:
            identity = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            remembered = known.get(name)
            if remembered is not None and remembered[:3] == identity:
                digests.append(remembered[3])
                continue
            settled = time.time_ns() - stat.st_mtime_ns > _TICK_NS
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            digests.append(digest)
            if settled:
                fresh.append((name, *identity, digest))
        self._remember(fresh)
        return digests

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _recall(self, names: list[bytes]) -> dict[bytes, tuple[int, int, int, str]]:
        known: dict[bytes, tuple[int, int, int, str]] = {}
        query = "SELECT path, inode, size, mtime_ns, sha256 FROM files WHERE path IN (%s)"
        with self._lock:
            try:
                for start in range(0, len(names), 500):
                    some = names[start : start + 500]
                    rows = self._open().execute(query % ",".join("?" * len(some)), some)
                    known.update((row[0], row[1:]) for row in rows)
            except sqlite3.OperationalError:
                return known
            except sqlite3.DatabaseError:
                self._forget()
        return known

    def _remember(self, rows: list[tuple[bytes, int, int, int, str]]) -> None:
        if not rows:
            return
        with self._lock:
            try:
                with self._open() as connection:
                    connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)
            except sqlite3.OperationalError:
                return  # busy or read-only: the bytes are read again next time
            except sqlite3.DatabaseError:
                self._forget()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._database.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self._database, timeout=30, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=OFF")
            self._connection.execute(_SCHEMA)
        return self._connection

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        for suffix in ("", "-wal", "-shm"):
            self._database.with_name(self._database.name + suffix).unlink(missing_ok=True)
