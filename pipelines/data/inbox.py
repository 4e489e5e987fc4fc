"""The inbox of a bucket: each folder `inbox/<name>/` that is dropped there becomes a batch, once it is whole.

Files are copied inside the bucket, and never brought here where S3 knows their sha256. What has become a batch is then
removed from the inbox; a receipt beside it says so, and a removal that was killed is finished by the next intake.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import PurePosixPath

import pandas as pd

from pipelines.data.add import check_share, publish_batch
from pipelines.data.clock import Clock, utc_now
from pipelines.data.snapshots import Card, catalogue_batches
from pipelines.data.withdrawals import erased_images
from pipelines.environment import INBOX
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
    loose = (info.key.removeprefix(INBOX) for info in data.list(INBOX))
    yield from filter(None, [packed(name) for name in loose if "/" not in name])
    for name in list(data.folders(INBOX)):
        folder = _Folder(data, name, classes, attribute, clock)
        yield from attempt(name, partial(folder.take_in, settle))


def attempt(name: str, take_in: Callable[[], Dropped | None]) -> Iterator[Dropped]:
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


def packed(name: str) -> Dropped | None:
    """Return that an archive is no batch, None for any other file that lies in the inbox itself."""
    if PurePosixPath(name).suffix.lower() not in ARCHIVE_SUFFIXES:
        return None
    return Dropped(name, What.REFUSED, "it is an archive: unpack it into a folder of the inbox")


def still_young(name: str, age: timedelta, settle: timedelta) -> Dropped | None:
    """Return that a folder waits, None if its youngest file is `settle` old."""
    if age >= settle:
        return None
    seconds = max(age.total_seconds(), 0)
    detail = f"written {seconds:,.0f} s ago: taken in {settle.total_seconds():,.0f} s after the last write"
    return Dropped(name, What.WAITING, detail)


def usable(rows: int, refused: int) -> str:
    return f"{rows - refused:,} of {rows:,} rows usable"


@dataclass(slots=True)
class _Counts:
    rows: int = 0
    refused: int = 0
    first: str = ""
    erased: int = 0


class _Folder:
    def __init__(self, data: ObjectStore, name: str, classes: Classes, attribute: str | None, clock: Clock) -> None:
        self._data, self._name, self._clock = data, name, clock
        self._classes, self._attribute = classes, attribute
        self._prefix = f"{INBOX}{name}/"

    def take_in(self, settle: timedelta) -> Dropped | None:
        """Return what came of the folder, None if it was only emptied."""
        self._finish_removal()
        found = {info.key[len(self._prefix) :]: info for info in self._data.list(self._prefix)}
        if not found:
            return None
        newest = max(info.modified for info in found.values())
        if young := still_young(self._name, self._clock() - newest, settle):
            return young
        batch, already, counts, wanted = self._become_batch(found)
        receipt = _Receipt(batch.name, batch.labels, newest.isoformat())
        self._data.put(self._prefix + RECEIPT, json.dumps(asdict(receipt)).encode())
        self._remove(receipt, wanted)
        left = len(found) - len(wanted)
        detail = usable(counts.rows, counts.refused)
        if left:
            detail += f"; {left:,} files that no row names stay in {self._data.uri(self._prefix)}"
        if counts.erased:
            detail += f"; {counts.erased:,} erased screenshots came again: repeat `tilegate data erase` on them"
        return Dropped(self._name, What.ALREADY if already else What.TAKEN_IN, detail, batch.name)

    def _become_batch(self, found: Mapping[str, ObjectInfo]) -> tuple[Batch, bool, _Counts, AbstractSet[str]]:
        """Publish what the folder brings: the files in the set, by their paths."""
        folders = {path.partition("/")[0] for path in found if "/" in path}
        labels = choose_labels(found, folders, self._classes, self._data.uri(self._prefix))
        wanted, counts = self._read(found, labels)
        if counts.rows == counts.refused:
            first = f"; the first of {counts.refused:,} that cannot be used: {counts.first}" if counts.first else ""
            raise UserError(f"{self._data.uri(self._prefix)} holds no usable row{first}")
        check_share(self._data.uri(self._prefix), counts.rows, counts.refused, counts.first)
        paths = sorted(wanted)
        found_here = zip(paths, at_once(lambda path: self._data.sha256(self._prefix + path), paths), strict=True)
        erased = erased_images(self._data)
        objects = [(path, sha256) for path, sha256 in found_here if sha256 not in erased]
        counts.erased = len(paths) - len(objects)
        listed = [(path, sha256, found[path].size) for path, sha256 in objects if path != labels]
        if not listed:
            raise UserError(f"{self._data.uri(self._prefix)} holds only screenshots that somebody has erased")
        draft = Card(
            name="",
            labels=labels,
            sha256=content_digest(labels, objects),
            kind=LABELS,
            added="",
            source=self._name,
            note="inbox",
            by="",
            rows=counts.rows,
            refused=counts.refused,
            bytes=sum(found[path].size for path in paths),
            classes=self._classes.text if self._classes.given else "",
            attribute=self._attribute or "",
        )
        check_readings([*catalogue_batches(self._data), draft.batch], Classes(given=False), None)

        def put(path: str, key: str) -> None:
            self._data.copy(self._prefix + path, key, source_etag=found[path].etag)

        listing = pd.DataFrame(listed, columns=list(LISTING_COLUMNS))
        batch, already = publish_batch(self._data, draft, listing, put, clock=self._clock)
        return batch, already, counts, wanted

    def _read(self, found: Mapping[str, ObjectInfo], labels: str) -> tuple[AbstractSet[str], _Counts]:
        """Read all rows; return which files they name, the labels file among them, and how many rows there are."""
        with scratch("inbox") as folder:
            if labels == FOLDER_PER_CLASS:
                return self._counted(rows_of_folders(found, self._classes), found, labels)
            (folder / labels).parent.mkdir(parents=True, exist_ok=True)
            self._data.download(self._prefix + labels, folder / labels)
            rows = read_labels(folder, labels, self._classes, self._attribute)
            wanted, counts = self._counted(rows, found, labels)
            return wanted | {labels}, counts

    @staticmethod
    def _counted(
        rows: Iterable[LabelledRow | RefusedRow], found: Iterable[str], labels: str
    ) -> tuple[set[str], _Counts]:
        # Checksums are not known yet, and read as "".
        files = Files(dict.fromkeys(found, ""), max(path.count("/") for path in found) + 1)
        counts, wanted = _Counts(), set[str]()

        def noticed() -> Iterable[LabelledRow | RefusedRow]:
            for row in rows:
                # Also the files of rows that are refused: another pair of classes must not make another content.
                if isinstance(row, RefusedRow) and row.source_ref:
                    with suppress(PathRefusedError):
                        wanted.add(files.locate(row.source_ref))
                yield row

        batch = Batch("", labels, "", LABELS)
        for frame, refused in row_tables(noticed(), batch, files):
            wanted.update(frame["path"])
            _, bad = check_table(batch, frame)
            counts.rows += len(frame) + len(refused)
            counts.refused += len(refused) + len(bad)
            counts.first = counts.first or next((row.detail for row in (*refused, *bad)), "")
        return wanted, counts

    def _finish_removal(self) -> None:
        place = self._prefix + RECEIPT
        try:
            receipt = _Receipt(**json.loads(self._data.get(place)))
            datetime.fromisoformat(receipt.newest)
        except NoSuchObject:
            return
        except (ValueError, TypeError) as error:
            raise UserError(f"{self._data.uri(place)} is no receipt of a batch ({error}): remove it") from None
        with scratch("inbox") as folder:
            listing = folder / "listing.parquet"
            self._data.download(f"{Place().catalogue}/{receipt.batch}.parquet", listing)
            self._remove(receipt, {*read_listing(listing)["path"], receipt.labels})

    def _remove(self, receipt: "_Receipt", taken: AbstractSet[str]) -> None:
        """Remove from the inbox what a batch holds of it, the receipt last; what was written since then stays."""
        newest = datetime.fromisoformat(receipt.newest)
        there = (info for info in self._data.list(self._prefix) if info.modified <= newest)
        for _ in at_once(self._data.delete, (i.key for i in there if i.key[len(self._prefix) :] in taken)):
            pass
        self._data.delete(self._prefix + RECEIPT)


@dataclass(frozen=True, slots=True)
class _Receipt:
    """What has become of a folder: its batch, its labels file, and when the youngest file in it was written."""

    batch: str
    labels: str
    newest: str
