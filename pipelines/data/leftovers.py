"""What killed commands left behind in a home, and in this machine's folder for temporary files."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pipelines.data.garbage import DAY_SECONDS, Orphan, weighed
from pipelines.executor.files import PART
from pipelines.executor.store import LocalStore

_KILLED = "left by a command that was killed"
_UNFINISHED = f"*{PART}", ".unfinished.*"
# What `tempfile` was asked for by us, and what TensorFlow writes for each traced function and does not remove.
_TEMPORARY = "tilegate-*", "__autograph_generated_file*.py"


def leftovers(store: LocalStore, *, now: float | None = None) -> Iterator[Orphan]:
    """Yield what nobody finishes any more; what is staged is known to be nobody's, the rest tells its age alone.

    Temporary files, which may be of another home, are only told when they are a day old at `now`.
    """
    home, yesterday = store.root.parent, (time.time() if now is None else now) - DAY_SECONDS
    staged = store.abandoned()
    for path in staged:
        yield replace(weighed(path, path.relative_to(home).as_posix(), _KILLED), touched=0.0)
    for pattern in _UNFINISHED:
        for path in sorted(home.rglob(pattern)):
            if not any(path.is_relative_to(folder) for folder in staged):
                yield from _told(path, path.relative_to(home).as_posix())
    for pattern in _TEMPORARY:
        for path in sorted(Path(tempfile.gettempdir()).glob(pattern)):
            yield from (left for left in _told(path, str(path)) if left.touched <= yesterday)


def _told(path: Path, name: str) -> Iterator[Orphan]:
    # It may vanish while it is looked at; what is another user's is not ours to remove.
    with suppress(FileNotFoundError):
        if path.lstat().st_uid == os.getuid() and not path.is_symlink():
            yield weighed(path, name, _KILLED)
