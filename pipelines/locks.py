"""One writer at a time across threads and processes: SQLite serialises statements, not read-check-write sequences."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.02


@contextmanager
def exclusive(path: Path, *, wait_seconds: float = 60.0) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the kernel drops it if the holder dies.

    Raises TimeoutError with one clear sentence if somebody else holds it for all of `wait_seconds`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_seconds
    with path.open("ab") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TimeoutError(
                        f"{path} was held by another process for {wait_seconds:g} s: let that process end, or stop it, "
                        "and try again"
                    ) from None
                time.sleep(_POLL_SECONDS)
        yield
