"""The inbox: each folder that is dropped there becomes a batch, once nobody writes to it any more.

In a bucket it is `inbox/<name>/`. Files are copied inside the bucket, and never brought here where S3 knows their
sha256. What has become a batch is then removed from the inbox; a receipt beside it says so, and a removal that was
killed is finished by the next intake. On this machine it is any folder, in which everything stays.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from pipelines.data.add import check_usable, publish_batch
from pipelines.data.catalogue import Catalogue
from pipelines.data.clock import Clock, utc_now
from pipelines.data.snapshots import Card, catalogue_batches
from pipelines.data.withdrawals import erased_images
from pipelines.environment import INBOX
from pipelines.executor.files import read_json, walk_files, write_json
from pipelines.storage.bulk import at_once
from pipelines.storage.protocol import AccessDeniedError, LostRace, NoSuchObject, ObjectInfo, ObjectStore
from steps.core.common.errors import UserError
from steps.core.common.scratch import scratch
from steps.core.dataset.classes import Classes
from steps.core.dataset.label_places import ARCHIVE_SUFFIXES, FOLDER_PER_CLASS, choose_labels
from steps.core.dataset.labels import LabelledRow, RefusedRow, read_labels, rows_of_folders
from steps.core.dataset.paths import Files, PathRefusedError
from steps.core.dataset.rows import check_readings, check_table, row_tables
from steps.core.dataset.snapshot import LABELS, LISTING_COLUMNS, Batch, Place, content_digest, read_listing

RECEIPT = ".taken-in.json"
SETTLE = timedelta(minutes=15)
SETTLE_SECONDS = 60.0


class What(StrEnum):
    """What came of a folder in the inbox."""

    TAKEN_IN = "taken in"
    ALREADY = "was there already"
    WAITING = "waits"
    REFUSED = "not taken in"


@dataclass(frozen=True, slots=True)
class Dropped:
    """What came of one folder in the inbox; `batch` is the batch that holds it, "" if none does."""

    name: str
    what: What
    detail: str
    batch: str = ""

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.name}: {self.what}{f' as {self.batch}' if self.batch else ''}, {self.detail}"


def take_in_inbox(
    data: ObjectStore,
    classes: Classes,
    *,
    attribute: str | None = None,
    settle: timedelta = SETTLE,
    clock: Clock = utc_now,
) -> Iterator[Dropped]:
    """Make a batch of each folder in the inbox of a bucket, and yield what came of it, one after the other.

    A folder in which something was written less than `settle` ago waits, for no mark tells that it is whole. One that
    cannot be a batch stays, is told every time, and stops no other. Raises AccessDeniedError.
    """
    names = (info.key.removeprefix(INBOX) for info in data.list(INBOX))
    yield from _packed(name for name in names if "/" not in name)
    for name in list(data.folders(INBOX)):
        folder = _Folder(data, name, classes, attribute, clock)
        yield from _attempt(name, partial(folder.take_in, settle))


def _attempt(name: str, take_in: Callable[[], Dropped | None]) -> Iterator[Dropped]:
    """Yield what came of a folder, if anything did; errors of it are told. Raises AccessDeniedError."""
    try:
        dropped = take_in()
    except AccessDeniedError:
        raise
    except (LostRace, NoSuchObject):
        dropped = Dropped(name, What.WAITING, "something in it was changed meanwhile")
    except UserError as error:
        dropped = Dropped(name, What.REFUSED, str(error))
    if dropped:
        yield dropped


def _packed(loose: Iterable[str]) -> Iterator[Dropped]:
    """Yield the archives among the files that lie in the inbox itself."""
    for name in loose:
        if PurePosixPath(name).suffix.lower() in ARCHIVE_SUFFIXES:
            yield Dropped(name, What.REFUSED, "it is an archive: unpack it into a folder of the inbox")


def _still_young(name: str, age: timedelta, settle: timedelta) -> Dropped | None:
    """Return that a folder waits, None if its youngest file is `settle` old."""
    if age >= settle:
        return None
    seconds = max(age.total_seconds(), 0)
    detail = f"written {seconds:,.0f} s ago: taken in {settle.total_seconds():,.0f} s after the last write"
    return Dropped(name, What.WAITING, detail)


def _taken_in(name: str, batch: Batch, rows: int, refused: int, more: str = "", *, already: bool) -> Dropped:
    what = What.ALREADY if already else What.TAKEN_IN
    return Dropped(name, what, f"{rows - refused:,} of {rows:,} rows usable{more}", batch.name)


@dataclass(slots=True)
class _Rows:
    """The rows of a dropped folder: how many, and which files they name, the labels file among them."""

    files: set[str]
    count: int = 0
    refused: int = 0
    first: str = ""


class _Folder:
    def __init__(self, data: ObjectStore, name: str, classes: Classes, attribute: str | None, clock: Clock) -> None:
        self._data, self._name, self._clock = data, name, clock
        self._classes, self._attribute = classes, attribute
        self._prefix = f"{INBOX}{name}/"
        self._uri = data.uri(self._prefix)

    def take_in(self, settle: timedelta) -> Dropped | None:
        """Return what came of the folder, None if it was only emptied."""
        self._finish_removal()
        found = {info.key[len(self._prefix) :]: info for info in self._data.list(self._prefix)}
        if not found:
            return None
        newest = max(info.modified for info in found.values())
        if young := _still_young(self._name, self._clock() - newest, settle):
            return young
        folders = {path.partition("/")[0] for path in found if "/" in path}
        labels = choose_labels(found, folders, self._classes, self._uri)
        rows = self._read(found, labels)
        batch, already, erased = self._publish(found, labels, rows)
        receipt = {"batch": batch.name, "labels": labels, "newest": newest.isoformat()}
        self._data.put(self._prefix + RECEIPT, json.dumps(receipt).encode())
        self._remove(newest, rows.files)
        more = ""
        if left := len(found) - len(rows.files):
            more += f"; {left:,} files that no row names stay in {self._uri}"
        if erased:
            more += f"; {erased:,} erased screenshots came again: repeat `tilegate data erase` on them"
        return _taken_in(self._name, batch, rows.count, rows.refused, more, already=already)

    def _publish(self, found: Mapping[str, ObjectInfo], labels: str, rows: _Rows) -> tuple[Batch, bool, int]:
        """Make a batch of the files that rows name; return it, if it was there, and how many erased files it lacks."""
        check_usable(self._uri, rows.count, rows.refused, rows.first)
        paths, erased = sorted(rows.files), erased_images(self._data)
        digests = at_once(lambda path: self._data.sha256(self._prefix + path), paths)
        objects = [(path, sha256) for path, sha256 in zip(paths, digests, strict=True) if sha256 not in erased]
        listed = [(path, sha256, found[path].size) for path, sha256 in objects if path != labels]
        if not listed:
            raise UserError(f"{self._uri} holds only screenshots that somebody has erased")
        draft = Card(
            name="",
            labels=labels,
            sha256=content_digest(labels, objects),
            kind=LABELS,
            added="",
            source=self._name,
            note="inbox",
            by="",
            rows=rows.count,
            refused=rows.refused,
            bytes=sum(found[path].size for path in paths),
            classes=self._classes.text if self._classes.given else "",
            attribute=self._attribute or "",
        )
        check_readings([*catalogue_batches(self._data), draft.batch], Classes(given=False), None)

        def put(path: str, key: str) -> None:
            self._data.copy(self._prefix + path, key, source_etag=found[path].etag)

        listing = pd.DataFrame(listed, columns=list(LISTING_COLUMNS))
        batch, already = publish_batch(self._data, draft, listing, put, clock=self._clock)
        return batch, already, len(paths) - len(objects)

    def _read(self, found: Mapping[str, ObjectInfo], labels: str) -> _Rows:
        # Checksums are not known yet, and read as "".
        files = Files(dict.fromkeys(found, ""), max(path.count("/") for path in found) + 1)
        batch, rows = Batch("", labels, "", LABELS), _Rows(set() if labels == FOLDER_PER_CLASS else {labels})
        with scratch("inbox") as folder:
            for frame, refused in row_tables(self._noticed(folder, files, labels, rows.files), batch, files):
                rows.files.update(frame["path"])
                _, bad = check_table(batch, frame)
                rows.count += len(frame) + len(refused)
                rows.refused += len(refused) + len(bad)
                rows.first = rows.first or next((row.detail for row in (*refused, *bad)), "")
        return rows

    def _noticed(self, folder: Path, files: Files, labels: str, named: set[str]) -> Iterator[LabelledRow | RefusedRow]:
        """Yield the rows; the files of refused ones are `named`: other classes must not make another content."""
        if labels == FOLDER_PER_CLASS:
            rows = rows_of_folders(files.sha256, self._classes)
        else:
            self._data.download(self._prefix + labels, folder / labels)
            rows = read_labels(folder, labels, self._classes, self._attribute)
        for row in rows:
            if isinstance(row, RefusedRow) and row.source_ref:
                with suppress(PathRefusedError):
                    named.add(files.locate(row.source_ref))
            yield row

    def _finish_removal(self) -> None:
        place = self._prefix + RECEIPT
        try:
            receipt = json.loads(self._data.get(place))
            newest, batch, labels = datetime.fromisoformat(receipt["newest"]), receipt["batch"], receipt["labels"]
        except NoSuchObject:
            return
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{self._data.uri(place)} is no receipt of a batch ({error!r}): remove it") from None
        with scratch("inbox") as folder:
            self._data.download(f"{Place().catalogue}/{batch}.parquet", folder / "listing.parquet")
            self._remove(newest, {*read_listing(folder / "listing.parquet")["path"], labels})

    def _remove(self, newest: datetime, taken: AbstractSet[str]) -> None:
        """Remove from the inbox what a batch holds of it, the receipt last; what was written since then stays."""
        there = (info for info in self._data.list(self._prefix) if info.modified <= newest)
        for _ in at_once(self._data.delete, (i.key for i in there if i.key[len(self._prefix) :] in taken)):
            pass
        self._data.delete(self._prefix + RECEIPT)


class FolderInbox:
    """A folder in which each folder is a batch. What was taken in may stay there: `memory` is a file that knows it."""

    def __init__(self, folder: Path, memory: Path, *, settle_seconds: float = SETTLE_SECONDS) -> None:
        self._folder, self._memory, self._settle = folder, memory, timedelta(seconds=settle_seconds)

    def take_in(self, catalogue: Catalogue, classes: Classes, attribute: str | None, *, now: float) -> Iterator[str]:
        """Add what is new to the catalogue, and yield a line for each folder that was looked at.

        `now` is in seconds since 1970. A folder that cannot be a batch is told on every night, and stops no other.
        """
        inside = sorted(self._folder.iterdir())
        yield from map(str, _packed(path.name for path in inside if path.is_file()))
        for folder in (path for path in inside if path.is_dir() and not path.name.startswith(".")):
            one = partial(self._one, folder, catalogue, classes, attribute, now)
            yield from map(str, _attempt(folder.name, one))

    def _one(
        self, folder: Path, catalogue: Catalogue, classes: Classes, attribute: str | None, now: float
    ) -> Dropped | None:
        remembered: Any = read_json(self._memory) or {}
        place = str(folder.resolve())
        try:
            seen, youngest = _state_of(folder)
            if remembered.get(place) == seen:
                return None
            if young := _still_young(folder.name, timedelta(seconds=now - youngest), self._settle):
                return young
            added = catalogue.add(folder, classes=classes, attribute=attribute, note="inbox")
        except OSError as error:
            raise UserError(f"it cannot be read ({error})") from None
        write_json(self._memory, {**remembered, place: seen})
        return _taken_in(folder.name, added.batch, added.rows, len(added.refused), already=added.already)


def _state_of(folder: Path) -> tuple[str, float]:
    """Return a digest of the names, sizes and times of a folder's files, and when the youngest changed."""
    digest, youngest = hashlib.sha256(), folder.stat().st_mtime
    for key, path in walk_files(folder):
        # A link that leads nowhere is for the catalogue to refuse.
        status = path.stat() if path.exists() else path.lstat()
        digest.update(json.dumps([key, status.st_size, status.st_mtime_ns]).encode())
        youngest = max(youngest, status.st_mtime)
    return digest.hexdigest(), youngest
