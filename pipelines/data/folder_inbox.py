"""Dropped folders on this machine: each becomes a batch of the catalogue, once nobody writes to it any more."""

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.data.catalogue import Catalogue
from pipelines.data.inbox import Dropped, What, attempt, packed, still_young, usable
from pipelines.executor.files import read_json, walk_files, write_json
from steps.core.common.errors import UserError
from steps.core.dataset.classes import Classes

SETTLE_SECONDS = 60.0


class FolderInbox:
    """A folder in which each folder is a batch. What was taken in may stay there: `memory` is a file that knows it."""

    def __init__(self, folder: Path, memory: Path, *, settle_seconds: float = SETTLE_SECONDS) -> None:
        self._folder, self._memory, self._settle = folder, memory, timedelta(seconds=settle_seconds)

    def take_in(self, catalogue: Catalogue, classes: Classes, attribute: str | None, *, now: float) -> Iterator[str]:
        """Add what is new to the catalogue, and yield a line for each folder that was looked at.

        `now` is in seconds since 1970. A folder that cannot be a batch is told on every night, and stops no other.
        """
        loose = (path.name for path in sorted(self._folder.iterdir()) if path.is_file())
        yield from map(str, filter(None, map(packed, loose)))
        for folder in sorted(
            path for path in self._folder.iterdir() if path.is_dir() and not path.name.startswith(".")
        ):
            one = partial(self._one, folder, catalogue, classes, attribute, now)
            yield from map(str, attempt(folder.name, one))

    def _one(
        self, folder: Path, catalogue: Catalogue, classes: Classes, attribute: str | None, now: float
    ) -> Dropped | None:
        remembered: Any = read_json(self._memory) or {}
        place = str(folder.resolve())
        try:
            seen, youngest = _state_of(folder)
            if remembered.get(place) == seen:
                return None
            if young := still_young(folder.name, timedelta(seconds=now - youngest), self._settle):
                return young
            added = catalogue.add(folder, classes=classes, attribute=attribute, note="inbox")
        except OSError as error:
            raise UserError(f"it cannot be read ({error})") from None
        write_json(self._memory, {**remembered, place: seen})
        what = What.ALREADY if added.already else What.TAKEN_IN
        return Dropped(folder.name, what, usable(added.rows, len(added.refused)), added.batch.name)


def _state_of(folder: Path) -> tuple[str, float]:
    """Return a digest of the names, sizes and times of a folder's files, and when the youngest changed."""
    digest, youngest = hashlib.sha256(), folder.stat().st_mtime
    for key, path in walk_files(folder):
        # A link that leads nowhere is for the catalogue to refuse.
        status = path.stat() if path.exists() else path.lstat()
        digest.update(json.dumps([key, status.st_size, status.st_mtime_ns]).encode())
        youngest = max(youngest, status.st_mtime)
    return digest.hexdigest(), youngest
