"""The parts of a snapshot (`steps.core.dataset.snapshot.parts_of`), worked out from its new batches alone.

A *ledger* has the parts of some batches, and the part of each of their images: sorted arrays, 36 bytes an image. It is
kept under the digest of its batches, so that a snapshot whose batches begin with those goes on from there.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.storage.bulk import Mirror
from pipelines.storage.memo import MEMO
from pipelines.storage.protocol import NoSuchObject, ObjectStore
from steps.core.common.errors import UserError
from steps.core.dataset.plan import Source
from steps.core.dataset.snapshot import REFERENCE, Batch, snapshot_digest

_BYTES = 32
_ROWS = 20_000
_LEDGERS = f"{MEMO}/parts/"
_SHA256 = f"S{_BYTES}"
_IS_SHA256 = re.compile(r"[0-9a-f]{64}").fullmatch

_Images = npt.NDArray[np.bytes_]
_Owners = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class PartRef:
    """A part without its files: its digest, the batch that brought it, and how many images it has."""

    digest: str
    batch: Batch
    images: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """The parts of some batches; `images` are the sha256 of all their images, sorted, `owners` their parts' numbers."""

    parts: tuple[PartRef, ...]
    images: _Images
    owners: _Owners

    @classmethod
    def empty(cls) -> Self:
        return cls((), np.empty(0, _SHA256), np.empty(0, np.int32))

    def owners_of(self, images: _Images) -> _Owners:
        """Return the number of each image's part, -1 where none has it."""
        at = np.searchsorted(self.images, images)
        inside = np.minimum(at, max(len(self.images) - 1, 0))
        found = np.full(len(images), -1, np.int32)
        if len(self.images):
            known = self.images[inside] == images
            found[known] = self.owners[inside[known]]
        return found

    def extended(self, batch: Batch, images: _Images) -> Self:
        """Return the ledger with a batch's images, sorted, as far as they are new."""
        new = images[self.owners_of(images) < 0]
        if not len(new):
            return self
        at = np.searchsorted(self.images, new)
        owners = np.insert(self.owners, at, np.int32(len(self.parts)))
        part = PartRef(_digest(new), batch, len(new))
        return type(self)((*self.parts, part), np.insert(self.images, at, new), owners)


class Parts:
    """The parts of snapshots in the bucket `data`; `mirror` brings their listings, in whose order files are told.

    With `keep` a ledger is left there for the next night.
    """

    def __init__(self, data: ObjectStore, mirror: Mirror, *, keep: bool = True) -> None:
        self._data, self._mirror, self._keep = data, mirror, keep
        self._ledgers: dict[str, Ledger] = {}

    def ledger(self, source: Source, batches: Sequence[Batch], *, to_cut: bool = False) -> Ledger:
        """Return the parts of a snapshot, with `to_cut` of those batches alone that may be learned from."""
        wanted = sorted(batch for batch in batches if not (to_cut and batch.kind == REFERENCE))
        key = _key(wanted)
        if key not in self._ledgers:
            count, ledger = self._known(wanted)
            for batch in wanted[count:]:
                ledger = ledger.extended(batch, np.unique(self._images(batch, source)))
            if self._keep and count < len(wanted):
                self._data.put(key, _packed(ledger))
            self._ledgers[key] = ledger
        return self._ledgers[key]

    def paths(self, part: PartRef, ledger: Ledger, source: Source) -> Iterator[str]:
        """Yield the paths of a part's files in its batch, in their order."""
        images, first = np.unique(self._images(part.batch, source), return_index=True)
        mine = ledger.owners_of(images) == ledger.parts.index(part)
        if _digest(images[mine]) != part.digest:
            raise UserError(f"the listing of batch {part.batch.name} is not the one that was planned: restore it")
        chosen = np.sort(first[mine])
        start = 0
        for rows in self._rows(part.batch, source, "path"):
            here = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, start + len(rows))]
            yield from rows.column("path").take(pa.array(here - start)).to_pylist()
            start += len(rows)

    def keys_of(self, wanted: Collection[str], source: Source, batches: Sequence[Batch]) -> dict[str, str]:
        """Return the key of a file for each of some sha256 that a batch has."""
        ledger, found = self.ledger(source, batches), dict[str, str]()
        owners = ledger.owners_of(np.array([bytes.fromhex(sha256) for sha256 in wanted], _SHA256))
        for batch in (ledger.parts[owner].batch for owner in np.unique(owners[owners >= 0])):
            for rows in self._rows(batch, source, "path", "sha256"):
                files = zip(rows.column("path").to_pylist(), rows.column("sha256").to_pylist(), strict=True)
                found |= {sha256: source.file_key(batch.name, path) for path, sha256 in files if sha256 in wanted}
        return found

    def _known(self, batches: Sequence[Batch]) -> tuple[int, Ledger]:
        """Return the ledger of as many of the first batches as there is one for, and how many those are."""
        there = {info.key for info in self._data.list(_LEDGERS)}
        for count in range(len(batches), 0, -1):
            if (key := _key(batches[:count])) in there and (ledger := _unpacked(self._data, key, batches[:count])):
                return count, ledger
        return 0, Ledger.empty()

    def _images(self, batch: Batch, source: Source) -> _Images:
        """Return the sha256 of the files that a batch lists."""
        chunks = [np.empty(0, _SHA256)]
        for rows in self._rows(batch, source, "sha256"):
            texts = rows.column("sha256").to_pylist()
            if not all(map(_IS_SHA256, map(str, texts))):
                raise UserError(f"{source.listing_key(batch)} lists what is no sha256: restore the listing")
            chunks.append(np.frombuffer(bytes.fromhex("".join(texts)), _SHA256))
        return np.concatenate(chunks)

    def _rows(self, batch: Batch, source: Source, *columns: str) -> Iterator[pa.RecordBatch]:
        """Yield the listing of a batch; raises UserError."""
        key = source.listing_key(batch)
        try:
            with pq.ParquetFile(self._mirror.fetch(key)) as file:
                yield from file.iter_batches(_ROWS, columns=list(columns), use_threads=False)
        except (NoSuchObject, OSError, pa.ArrowException) as error:
            raise UserError(f"{key}: the listing of a batch cannot be read ({error}); restore it") from None


def _digest(images: _Images) -> str:
    """Return what names the part that these images are, as `parts_of` has it."""
    digest = hashlib.sha256()
    for start in range(0, len(images), _ROWS):
        text = images[start : start + _ROWS].tobytes().hex("\n", -_BYTES)
        digest.update(("\n" * bool(start) + text).encode())
    return digest.hexdigest()[:32]


def _key(batches: Sequence[Batch]) -> str:
    return f"{_LEDGERS}{snapshot_digest(batches)}.npz"


def _packed(ledger: Ledger) -> bytes:
    parts = json.dumps([[part.digest, part.batch.name, part.images] for part in ledger.parts])
    stream = io.BytesIO()
    np.savez(stream, parts=np.frombuffer(parts.encode(), np.uint8), images=ledger.images, owners=ledger.owners)
    return stream.getvalue()


def _unpacked(data: ObjectStore, key: str, batches: Sequence[Batch]) -> Ledger | None:
    """Return a ledger that is kept, None if it cannot be read: then it is worked out again."""
    named = {batch.name: batch for batch in batches}
    try:
        with np.load(io.BytesIO(data.get(key)), allow_pickle=False) as arrays:
            told = json.loads(arrays["parts"].tobytes())
            parts = tuple(PartRef(str(digest), named[name], int(images)) for digest, name, images in told)
            return Ledger(parts, arrays["images"], arrays["owners"])
    except (NoSuchObject, OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
