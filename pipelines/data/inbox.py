"""The inbox of a bucket: each folder `inbox/<name>/` that is dropped there becomes a batch, once it is whole.

Files are copied inside the bucket, and never brought here where S3 knows their sha256. What has become a batch is then
removed from the inbox; a receipt beside it says so, and a removal that was killed is finished by the next intake.
"""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.data.batch_card import Card
from pipelines.data.listing import read_listed, write_listed
from pipelines.data.object_table import ObjectTable, at_once
from pipelines.data.publish import Clock, Contents, publish_batch, utc_now
from pipelines.environment import INBOX
from pipelines.storage.protocol import AccessDeniedError, LostRace, NoSuchObject, ObjectStore
from steps.core.common.errors import UserError
from steps.core.dataset.classes import Classes
from steps.core.dataset.labels import (
    FOLDER_PER_CLASS,
    LabelledRow,
    RefusedRow,
    choose_labels,
    read_labels,
    rows_of_folders,
)
from steps.core.dataset.paths import Files, PathRefusedError
from steps.core.dataset.rows import check_table, row_tables
from steps.core.dataset.snapshot import LABELS, Batch, Place

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


class _Folder:
    def __init__(self, data: ObjectStore, name: str, classes: Classes, attribute: str | None, clock: Clock) -> None:
        self._data, self._name, self._clock = data, name, clock
        self._classes, self._attribute = classes, attribute
        self._prefix = f"{INBOX}{name}/"

    def take_in(self, settle: timedelta) -> Dropped | None:
        """Return what came of the folder, None if it was only emptied."""
        self._finish_removal()
        table = ObjectTable(self._data, self._prefix)
        if not len(table):
            return None
        if young := still_young(self._name, self._clock() - table.newest, settle):
            return young
        with tempfile.TemporaryDirectory(prefix="tilegate-inbox-") as scratch:
            batch, already, labels, counts, left = self._become_batch(table, Path(scratch))
            receipt = _Receipt(batch.name, labels, table.newest.isoformat())
            self._data.put(self._prefix + RECEIPT, json.dumps(asdict(receipt)).encode())
            self._remove(receipt, Path(scratch) / "listing.parquet")
        detail = usable(counts.rows, counts.refused)
        if left:
            detail += f"; {left:,} files that no row names stay in {self._data.uri(self._prefix)}"
        return Dropped(self._name, What.ALREADY if already else What.TAKEN_IN, detail, batch.name)

    def _become_batch(self, table: ObjectTable, scratch: Path) -> tuple[Batch, bool, str, _Counts, int]:
        """Publish what the folder brings; the number is that of the files that nothing names."""
        files, folders = table.top()
        labels = choose_labels(files, folders, self._classes, self._data.uri(self._prefix))
        wanted, counts = self._read(table, labels, scratch)
        if counts.rows == counts.refused:
            first = f"; the first of {counts.refused:,} that cannot be used: {counts.first}" if counts.first else ""
            raise UserError(f"{self._data.uri(self._prefix)} holds no usable row{first}")
        listed = write_listed(
            scratch / "listing.parquet",
            labels,
            at_once(self._hashed, table.rows(wanted)),
        )
        draft = Card(
            name="",
            labels=labels,
            sha256=listed.sha256,
            kind=LABELS,
            added="",
            source=self._name,
            note="inbox",
            by="",
            rows=counts.rows,
            refused=counts.refused,
            bytes=listed.bytes,
        )

        def put(path: str, key: str) -> None:
            self._data.copy(self._prefix + path, key, source_etag=table.etag(path))

        batch, already = publish_batch(self._data, Contents(draft, scratch / "listing.parquet", put), self._clock)
        return batch, already, labels, counts, len(table) - int(wanted.sum())

    def _hashed(self, row: tuple[str, str, int]) -> tuple[str, str, int]:
        path, _, size = row
        return path, self._data.sha256(self._prefix + path), size

    def _read(self, table: ObjectTable, labels: str, scratch: Path) -> tuple[npt.NDArray[np.bool_], _Counts]:
        """Read all rows; return which objects they name, the labels file among them, and how many rows there are."""
        files, counts = Files(_Unhashed(table), table.depth), _Counts()
        wanted = np.zeros(len(table), np.bool_)
        if labels == FOLDER_PER_CLASS:
            rows: Iterable[LabelledRow | RefusedRow] = rows_of_folders(table, self._classes)
        else:
            wanted[table[labels]] = True
            self._data.download(self._prefix + labels, scratch / "labels" / labels)
            rows = read_labels(scratch / "labels", labels, self._classes, self._attribute)

        def noticed() -> Iterable[LabelledRow | RefusedRow]:
            for row in rows:
                # Also the files of rows that are refused: another pair of classes must not make another content.
                if isinstance(row, RefusedRow) and row.source_ref:
                    with suppress(PathRefusedError):
                        wanted[table[files.locate(row.source_ref)]] = True
                yield row

        batch = Batch("", labels, "", LABELS)
        for frame, refused in row_tables(noticed(), batch, files):
            wanted[table.positions(frame["path"].tolist())] = True
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
        with tempfile.TemporaryDirectory(prefix="tilegate-inbox-") as scratch:
            listing = Path(scratch) / "listing.parquet"
            self._data.download(f"{Place().catalogue}/{receipt.batch}.parquet", listing)
            self._remove(receipt, listing)

    def _remove(self, receipt: "_Receipt", listing: Path) -> None:
        """Remove from the inbox what a batch holds of it, the receipt last; what was written since then stays."""
        newest = datetime.fromisoformat(receipt.newest)

        def taken() -> Iterator[str]:
            paths = iter(read_listed(listing))
            path = next(paths, None)
            for info in self._data.list(self._prefix):
                name = info.key[len(self._prefix) :]
                while path is not None and path.encode() < name.encode():
                    path = next(paths, None)
                if name in {path, receipt.labels} and info.modified <= newest:
                    yield info.key

        for _ in at_once(self._data.delete, taken()):
            pass
        self._data.delete(self._prefix + RECEIPT)


@dataclass(frozen=True, slots=True)
class _Receipt:
    """What has become of a folder: its batch, its labels file, and when the youngest file in it was written."""

    batch: str
    labels: str
    newest: str


class _Unhashed(Mapping[str, str]):
    """The files of a folder as rows are joined to them: their checksums are not known yet, and read as ""."""

    def __init__(self, table: ObjectTable) -> None:
        self._table = table

    def __contains__(self, path: object) -> bool:
        return path in self._table

    def __getitem__(self, path: str) -> str:
        return ""

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)
