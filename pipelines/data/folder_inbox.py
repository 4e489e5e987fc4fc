"""Dropped folders on this machine: each becomes a batch of the catalogue, once nobody writes to it any more."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.data.catalogue import Catalogue
from pipelines.executor.files import read_json, walk_files, write_json
from steps.core.common.errors import UserError
from steps.core.dataset.classes import Classes

SETTLE_SECONDS = 60.0


class FolderInbox:
    """A folder in which each folder is a batch. What was taken in may stay there: `memory` is a file that knows it."""

    def __init__(self, folder: Path, memory: Path, *, settle_seconds: float = SETTLE_SECONDS) -> None:
        self._folder, self._memory, self._settle = folder, memory, settle_seconds

    def take_in(self, catalogue: Catalogue, classes: Classes, attribute: str | None, *, now: float) -> Iterator[str]:
        """Add what is new to the catalogue, and yield a line for each folder that was looked at.

        `now` is in seconds since 1970. A folder that cannot be a batch is told on every night, and stops no other.
        """
        remembered: Any = read_json(self._memory) or {}
        for folder in sorted(path for path in self._folder.iterdir() if path.is_dir() and not _is_hidden(path)):
            place = str(folder.resolve())
            try:
                seen, youngest = _state_of(folder)
            except OSError as error:
                yield f"{folder.name}: cannot be looked at ({error}); the next night looks again"
                continue
            if remembered.get(place) == seen:
                continue
            if now - youngest < self._settle:
                age = f"{max(now - youngest, 0):.0f} s ago"
                yield f"{folder.name}: changed {age}, it may not be whole yet; the next night looks again"
                continue
            try:
                added = catalogue.add(folder, classes=classes, attribute=attribute, note="inbox")
            except (UserError, OSError) as error:
                yield f"{folder.name}: not taken in, {error}"
                continue
            what = "was there already as" if added.already else "is batch"
            refused = f", {len(added.refused):,} of {added.rows:,} rows refused" if added.refused else ""
            yield f"{folder.name} {what} {added.batch.name}: {sum(added.per_label.values()):,} labels{refused}"
            remembered = {**remembered, place: seen}
            write_json(self._memory, remembered)


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _state_of(folder: Path) -> tuple[str, float]:
    """Return a digest of the names, sizes and times of a folder's files, and when the youngest changed."""
    digest, youngest = hashlib.sha256(), folder.stat().st_mtime
    for key, path in walk_files(folder):
        # A link that leads nowhere is for the catalogue to refuse.
        status = path.stat() if path.exists() else path.lstat()
        digest.update(json.dumps([key, status.st_size, status.st_mtime_ns]).encode())
        youngest = max(youngest, status.st_mtime)
    return digest.hexdigest(), youngest
