"""Screenshots that are removed for good, wherever a picture of them is.

The record comes first (`pipelines.data.withdrawals`): from then on nobody brings the screenshot again, and an erasure
that was killed is finished by repeating it. The batches that held it get a listing and a card without it, so that the
next snapshot is another one, with other parts: their facts and tiles are made anew.
"""

import io
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.data.add import put_listing
from pipelines.data.clock import Clock
from pipelines.data.snapshots import Card, read_card
from pipelines.data.withdrawals import Withdrawal, record_erasure
from pipelines.environment import INBOX
from pipelines.executor.files import PART
from pipelines.storage.protocol import Copies, Copy, NoSuchObject, ObjectStore
from steps.core.common.errors import UserError
from steps.core.common.scratch import scratch
from steps.core.dataset.label_places import FOLDER_PER_CLASS
from steps.core.dataset.plan import FACTS, FEATURES, TILES
from steps.core.dataset.snapshot import AD_HOC, Place, content_digest, read_listing

# Where a picture can be in S3; elsewhere are models, verdicts and names.
DATA_PREFIXES = (INBOX, f"{Place().labelled}/", f"{FACTS}/", f"{TILES}/", f"{FEATURES}/")
ARTIFACT_PREFIXES = ("runs/", "mlflow/")
# What was delivered is a picture or stays as it is, whatever it is called.
_DELIVERED = re.compile(rf"(^|/)({INBOX}|{Place().labelled}/|{AD_HOC.labelled}/)")
_ID_COLUMNS = ("id", "sha256")
_SHARD = re.compile(r"(tiles-[0-9a-f]{16})\.(tfrecord|npy)")  # a shard, and what was computed of its tiles
_PIECE = re.compile(r"cut-[0-9a-f]{32}\.(tfrecord|parquet)")
_UNFINISHED, _STAGING = ".unfinished.", "store/.staging/"
_NO_PICTURE = (".json", ".jsonl", ".txt", ".manifest", ".sqlite", ".db", ".npz", ".keras", ".tflite", ".gz", ".lock")
_PICTURE = re.compile(rb"<img\b[^>]*>")
_ERASED = b'<span class="picture none">erased</span>'


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did: `records` of all screenshots, and how many copies it removed, by what they are and where."""

    records: tuple[Withdrawal, ...]
    removed: Mapping[tuple[str, str], int]

    @property
    def batches(self) -> set[str]:
        """The batches that held one of the screenshots."""
        return {batch for record in self.records for batch in record.batches}


def erase(
    data: ObjectStore,
    everywhere: Iterable[Copies],
    images: Collection[str],
    *,
    by: str,
    reason: str,
    clock: Clock,
    progress: Callable[[int], None] = lambda _: None,
) -> Erased:
    """Remove screenshots, given by their sha256, from `data` and all other places; nobody may be executing meanwhile.

    `progress` is told how many copies were looked at. Raises UserError for what is no sha256.
    """
    for image in images:
        if not re.fullmatch(r"[0-9a-f]{64}", image):
            raise UserError(f"{image!r} is no sha256: 64 hexadecimal digits are wanted")
    with scratch("erase") as folder:
        held = dict(_listings_with(data, images, folder))
    records = []
    for image in sorted(images):
        found = [(key, size) for key, rows in held.items() for size in rows[rows["sha256"] == image]["bytes"].tolist()]
        size, batches = found[0][1] if found else 0, tuple(sorted({Path(key).stem for key, _ in found}))
        records.append(record_erasure(data, image, by=by, reason=reason, clock=clock, bytes=size, batches=batches))
    for key, before in held.items():
        after = before[~before["sha256"].isin(images)]
        if key.startswith(f"{Place().catalogue}/"):
            _give_digest(data, Path(key).stem, before, after)
        put_listing(data, key, after)
    traces = _Traces({record.what: record.bytes for record in records})
    for place in everywhere:
        traces.find(place, progress)
    return Erased(tuple(records), traces.remove())


def _listings_with(data: ObjectStore, images: Collection[str], folder: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the listings of batches that were added, withdrawn ones too, that have one of the screenshots, by key."""
    for catalogue in (Place().catalogue, AD_HOC.catalogue):
        for key in [info.key for info in data.list(f"{catalogue}/")]:
            if key.rpartition("/")[0] == catalogue and key.endswith(".parquet"):
                data.download(key, folder / "listing.parquet")
                rows = read_listing(folder / "listing.parquet")
                if rows["sha256"].isin(images).any():
                    yield key, rows


def _give_digest(data: ObjectStore, batch: str, before: pd.DataFrame, after: pd.DataFrame) -> None:
    """Give a batch the digest that it has without the screenshots; one that is not what was added keeps its own.

    The card is written before the listing: whoever is killed then finds the screenshot still listed, and writes both
    again.
    """
    with suppress(NoSuchObject):
        card = read_card(data, batch)
        if _digest(data, card, before) == card.sha256:
            size = card.bytes - int(before["bytes"].sum() - after["bytes"].sum())
            less = replace(card, sha256=_digest(data, card, after), bytes=size)
            data.put(f"{Place().catalogue}/{batch}.json", less.to_json().encode())


def _digest(data: ObjectStore, card: Card, listing: pd.DataFrame) -> str:
    objects = list(zip(listing["path"], listing["sha256"], strict=True))
    if card.labels != FOLDER_PER_CLASS:
        objects.append((card.labels, data.sha256(f"{Place().labelled}/{card.name}/{card.labels}")))
    return content_digest(card.labels, objects)


class _Traces:
    """The copies of some screenshots, in all places, and what has to become of them; `sizes` by sha256, 0 if unknown.

    What tells where a picture is goes last: pages and files first, then shards, then the tables that name these.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._images = pa.array(sorted(sizes))
        self._wanted, self._sizes = frozenset(sizes), frozenset(sizes.values())
        self._files: list[tuple[Copies, Copy, str]] = []
        self._pages: list[tuple[Copies, Copy]] = []
        self._shards: list[tuple[Copies, Copy]] = []
        self._tables: list[tuple[Copies, Copy]] = []
        self._named: set[str] = set()
        self._hit: set[str] = set()

    def find(self, place: Copies, progress: Callable[[int], None]) -> None:
        """Find what there is in a place."""
        for done, copy in enumerate(place.all(), start=1):
            name = copy.key.rpartition("/")[2]
            if name.endswith(PART) or name.startswith(_UNFINISHED) or _STAGING in copy.key:
                self._files.append((place, copy, "left half-written"))
            elif _DELIVERED.search(copy.key):
                self._find_file(place, copy)
            elif _PIECE.fullmatch(name):
                self._files.append((place, copy, "pieces of tiles"))
            elif _SHARD.fullmatch(name):
                self._shards.append((place, copy))
            elif name.endswith(".parquet"):
                self._find_table(place, copy)
            elif name.endswith((".html", ".htm")):
                if self._without_pictures(page := place.read(copy)) != page:
                    self._pages.append((place, copy))
            elif not name.endswith(_NO_PICTURE):
                self._find_file(place, copy)
            progress(done)

    def remove(self) -> Mapping[tuple[str, str], int]:
        """Remove all that was found; return how many copies, by (what, where)."""
        removed = Counter[tuple[str, str]]()
        for place, copy, what in self._files:
            place.remove(copy)
            removed[what, _where(place, copy)] += 1
        for place, copy in self._pages:
            place.rewrite(copy, self._without_pictures(place.read(copy)))
            removed["pages without its picture", _where(place, copy)] += 1
        for place, copy in self._shards:
            name = _stem(copy.key)
            # One that no index names may hold the tiles of anything.
            if name in self._hit or name not in self._named:
                place.remove(copy)
                removed["shards of tiles", _where(place, copy)] += 1
        for place, copy in self._tables:
            place.rewrite(copy, self._without_rows(place.read(copy)))
            removed["tables without its rows", _where(place, copy)] += 1
        return removed

    def _find_file(self, place: Copies, copy: Copy) -> None:
        # Of a screenshot that no batch had nobody knows the size.
        if (copy.size in self._sizes or 0 in self._sizes) and place.sha256(copy) in self._wanted:
            self._files.append((place, copy, "files"))

    def _find_table(self, place: Copies, copy: Copy) -> None:
        try:
            file = pq.ParquetFile(io.BytesIO(place.read(copy)))
            table = file.read(columns=[name for name in (*_ID_COLUMNS, "shard") if name in file.schema_arrow.names])
        except pa.ArrowException:
            # Nobody can tell what it holds, and nobody can use it.
            self._files.append((place, copy, "tables that cannot be read"))
            return
        hit = self._hits(table)
        if {"id", "shard"} <= set(table.column_names):
            shards = table.column("shard")
            self._named.update(map(_stem, shards.unique().to_pylist()))
            self._hit.update(map(_stem, shards.filter(hit).unique().to_pylist()))
        if pc.any(hit).as_py():
            self._tables.append((place, copy))

    def _hits(self, table: pa.Table) -> pa.ChunkedArray:
        """Return which rows are about one of the screenshots."""
        hit = pa.chunked_array([pa.array([False] * len(table), pa.bool_())])
        for name in _ID_COLUMNS:
            if name in table.column_names:
                hit = pc.or_(hit, pc.is_in(table.column(name).cast(pa.string()), value_set=self._images))
        return hit

    def _without_rows(self, data: bytes) -> bytes:
        table = pq.read_table(io.BytesIO(data))
        stream = io.BytesIO()
        pq.write_table(table.filter(pc.invert(self._hits(table))), stream)
        return stream.getvalue()

    def _without_pictures(self, page: bytes) -> bytes:
        """Return a page without their pictures, and without those that do not say what they show.

        Pages of earlier versions did not say it.
        """
        return _PICTURE.sub(lambda match: _ERASED if self._shows(match[0]) else match[0], page)

    def _shows(self, tag: bytes) -> bool:
        match = re.search(rb'\bdata-screenshot="([0-9a-f]*)"', tag)
        return match[1].decode() in self._wanted if match else b"data:image/jpeg" in tag


def _stem(key: object) -> str:
    return str(key).rpartition("/")[2].partition(".")[0]


def _where(place: Copies, copy: Copy) -> str:
    """Return the place of a copy as people need it: the store and what kind of thing lies there."""
    parts = copy.key.split("/")[:-1]
    return "/".join([place.name, *parts[: 3 if parts[:1] == ["store"] else 1]])
