"""Temporary folders that a killed process leaves only until the next one of its kind."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """Yield an empty temporary folder; those of the same kind whose process is gone are removed first.

    Whoever works in one holds its lock, which the kernel drops with the process.
    """
    prefix = f"tilegate-{kind}-"
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        if (lock := _locked(left)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
    while (lock := _locked(folder := Path(tempfile.mkdtemp(prefix=prefix)))) is None:
        pass  # another process took the new folder for a leftover
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked(folder: Path) -> int | None:
    """Return the descriptor that holds the lock of a folder of ours; None if another process has it, or it is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_uid == os.geteuid() and folder.exists():
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
