"""The parts of a snapshot (`steps.core.dataset.snapshot.parts_of`), worked out from its new batches alone.

A *ledger* has the parts of some batches, and for each of their images eight bytes of its sha256 and the part that
brought it, in sorted arrays: 12 bytes an image. It is kept under the digest of its batches, so that a snapshot whose
batches begin with those goes on from there. That an image is known is looked up in the arrays and confirmed in the
listing of the batch that brought it.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.storage.memo import MEMO
from pipelines.storage.mirror import Mirror
from pipelines.storage.protocol import NoSuchObject, ObjectStore
from steps.core.common.errors import UserError
from steps.core.dataset.plan import Source
from steps.core.dataset.snapshot import REFERENCE, Batch, snapshot_digest

_BYTES = 32
_ROWS = 20_000
_LEDGERS = f"{MEMO}/parts/"
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
_NO_DIGIT = 255
_NIBBLES = np.full(256, _NO_DIGIT, np.uint8)
_NIBBLES[_DIGITS] = range(16)

_Shas = npt.NDArray[np.uint8]
_Prefixes = npt.NDArray[np.uint64]
_Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PartRef:
    """A part without its files: its digest, the batch that brought it, and how many images it has."""

    digest: str
    batch: Batch
    images: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """The parts of some batches; `prefixes` are those of all their images, sorted, `owners` the parts they are in."""

    parts: tuple[PartRef, ...]
    prefixes: _Prefixes
    owners: npt.NDArray[np.int32]

    @classmethod
    def empty(cls) -> Self:
        return cls((), np.empty(0, np.uint64), np.empty(0, np.int32))

    def before(self, number: int) -> Self:
        """Return the first `number` parts alone, which later ones never change."""
        chosen = self.owners < number
        return type(self)(self.parts[:number], self.prefixes[chosen], self.owners[chosen])


class Parts:
    """The parts of snapshots in the bucket `data`; `mirror` brings their listings, in whose order files are told.

    With `keep` a ledger is left there for the next night.
    """

    def __init__(self, data: ObjectStore, mirror: Mirror, *, keep: bool = True) -> None:
        self._data, self._mirror, self._keep = data, mirror, keep
        self._kept: list[tuple[list[Batch], Ledger]] = []

    def ledger(self, source: Source, batches: Sequence[Batch], *, to_cut: bool = False) -> Ledger:
        """Return the parts of a snapshot, with `to_cut` of those batches alone that may be learned from."""
        wanted = sorted(batch for batch in batches if not (to_cut and batch.kind == REFERENCE))
        for kept, ledger in self._kept:
            if kept[: len(wanted)] == wanted:
                return ledger.before(sum(part.batch in wanted for part in ledger.parts))
        count, ledger = self._known(wanted)
        for batch in wanted[count:]:
            ledger = self._extended(ledger, batch, source)
        if self._keep and count < len(wanted):
            self._data.put(_key(wanted), _packed(ledger))
        self._kept.append((wanted, ledger))
        return ledger

    def paths(self, part: PartRef, ledger: Ledger, source: Source) -> Iterator[str]:
        """Yield the paths of a part's files in its batch, in their order."""
        wanted = self._members(ledger.parts.index(part), ledger, source)
        with self._listing(part.batch, source) as file:
            start = 0
            for rows in file.iter_batches(_ROWS, columns=["path"], use_threads=False):
                yield from rows.column(0).filter(pa.array(wanted[start : start + len(rows)])).to_pylist()
                start += len(rows)

    def keys_of(self, wanted: Collection[str], source: Source, batches: Sequence[Batch]) -> dict[str, str]:
        """Return the key of a file for each of some sha256 that a batch has."""
        ledger, found = self.ledger(source, batches), dict[str, str]()
        prefixes = np.array([int(sha256[:16], 16) for sha256 in wanted], np.uint64)
        for owner in _owners(ledger, prefixes)[0]:
            batch = ledger.parts[owner].batch
            with self._listing(batch, source) as file:
                for rows in file.iter_batches(_ROWS, columns=["path", "sha256"], use_threads=False):
                    paths, shas = (column.to_pylist() for column in rows.columns)
                    held = ((path, sha256) for path, sha256 in zip(paths, shas, strict=True) if sha256 in wanted)
                    found |= {sha256: source.file_key(batch.name, path) for path, sha256 in held}
        return found

    def _members(self, number: int, ledger: Ledger, source: Source) -> npt.NDArray[np.bool_]:
        """Tell which of the files that a batch lists are those of its part."""
        part = ledger.parts[number]
        shas = self._shas(part.batch, source)
        positions, prefixes = _different(shas)
        at = np.searchsorted(ledger.prefixes, prefixes)
        # Only where two images share eight bytes is this not the part, and the listings have to tell.
        chosen = positions[ledger.owners[np.minimum(at, len(ledger.owners) - 1)] == number]
        if _digest(shas, chosen) != part.digest:
            chosen = self._fresh(shas, positions, prefixes, ledger.before(number), source)
        if _digest(shas, chosen) != part.digest:
            raise UserError(f"the listing of batch {part.batch.name} is not the one that was planned: restore it")
        wanted = np.zeros(len(shas), np.bool_)
        wanted[chosen] = True
        return wanted

    def _known(self, batches: Sequence[Batch]) -> tuple[int, Ledger]:
        """Return the ledger of as many of the first batches as there is one for, and how many those are."""
        there = {info.key for info in self._data.list(_LEDGERS)}
        for count in range(len(batches), 0, -1):
            if (key := _key(batches[:count])) in there and (ledger := _unpacked(self._data, key, batches[:count])):
                return count, ledger
        return 0, Ledger.empty()

    def _extended(self, ledger: Ledger, batch: Batch, source: Source) -> Ledger:
        shas = self._shas(batch, source)
        positions, prefixes = _different(shas)
        fresh = self._fresh(shas, positions, prefixes, ledger, source)
        if not len(fresh):
            return ledger
        part = PartRef(_digest(shas, fresh), batch, len(fresh))
        new = _prefixes(shas)[fresh]
        at = np.searchsorted(ledger.prefixes, new)
        owners = np.insert(ledger.owners, at, np.int32(len(ledger.parts)))
        return Ledger((*ledger.parts, part), np.insert(ledger.prefixes, at, new), owners)

    def _fresh(
        self, shas: _Shas, positions: _Positions, prefixes: _Prefixes, ledger: Ledger, source: Source
    ) -> _Positions:
        """Return those of some images, in the order of their sha256, that no part of the ledger has."""
        owners, hit = _owners(ledger, prefixes)
        if not hit.any():
            return positions
        seen = _strings(shas[positions[hit]])
        known = np.zeros(len(seen), np.bool_)
        for owner in owners:
            known |= np.isin(seen, _strings(self._shas(ledger.parts[owner].batch, source)))
        fresh = np.ones(len(positions), np.bool_)
        fresh[np.flatnonzero(hit)[known]] = False
        return positions[fresh]

    def _listing(self, batch: Batch, source: Source) -> pq.ParquetFile:
        key = source.listing_key(batch)
        try:
            return pq.ParquetFile(self._mirror.fetch(key))
        except (NoSuchObject, OSError, pa.ArrowException) as error:
            raise UserError(f"{key}: the listing of a batch cannot be read ({error}); restore it") from None

    def _shas(self, batch: Batch, source: Source) -> _Shas:
        """Return the sha256 of the files that a batch lists, uint8 [files, 32]."""
        with self._listing(batch, source) as file:
            shas, start = np.empty((file.metadata.num_rows, _BYTES), np.uint8), 0
            for rows in file.iter_batches(_ROWS, columns=["sha256"], use_threads=False):
                if (some := _decoded(rows.column(0))) is None:
                    raise UserError(f"{source.listing_key(batch)} lists what is no sha256: restore the listing")
                shas[start : start + len(some)] = some
                start += len(some)
        return shas


def _owners(ledger: Ledger, prefixes: _Prefixes) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Return the parts that may have one of some images, and which of these it may be."""
    first, last = (np.searchsorted(ledger.prefixes, prefixes, side) for side in ("left", "right"))
    hit = last > first
    ranges = [ledger.owners[a:b] for a, b in zip(first[hit], last[hit], strict=True)]
    return np.unique(np.concatenate([np.empty(0, np.int32), *ranges])), hit


def _decoded(texts: pa.Array) -> _Shas | None:
    """Return sha256 in hex as bytes, None if one of the texts is none."""
    texts = texts.cast(pa.large_string())
    _, offsets, data = texts.buffers()
    starts = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    if texts.null_count or np.any(np.diff(starts) != 2 * _BYTES):
        return None
    if not len(texts):
        return np.empty((0, _BYTES), np.uint8)
    nibbles = _NIBBLES[np.frombuffer(data, np.uint8)[starts[0] : starts[-1]].reshape(-1, 2 * _BYTES)]
    if (nibbles == _NO_DIGIT).any():
        return None
    shas: _Shas = (nibbles[:, ::2] << np.uint8(4)) | nibbles[:, 1::2]
    return shas


def _prefixes(shas: _Shas) -> _Prefixes:
    """Return the first eight bytes of each sha256 as a number."""
    return np.ascontiguousarray(shas[:, :8]).view(">u8").ravel().astype(np.uint64)


def _strings(shas: _Shas) -> npt.NDArray[np.bytes_]:
    return np.ascontiguousarray(shas).view(f"S{_BYTES}").ravel()


def _different(shas: _Shas) -> tuple[_Positions, _Prefixes]:
    """Return where each different sha256 stands first, in the order of the sha256, and their prefixes."""
    prefixes = _prefixes(shas)
    order = np.argsort(prefixes, kind="stable")
    same = prefixes[order][1:] == prefixes[order][:-1]
    if same.any():
        texts = _strings(shas)
        if np.any(texts[order[1:][same]] != texts[order[:-1][same]]):
            order = np.argsort(texts, kind="stable")  # eight bytes do not tell all of them apart
        new = np.ones(len(order), np.bool_)
        new[1:] = texts[order][1:] != texts[order][:-1]
        order = order[new]
    return order.astype(np.int64), prefixes[order]


def _digest(shas: _Shas, positions: _Positions) -> str:
    """Return what names the part that these images are, as `parts_of` has it."""
    digest = hashlib.sha256()
    for start in range(0, len(positions), _ROWS):
        some = shas[positions[start : start + _ROWS]]
        lines = np.full((len(some), 2 * _BYTES + 1), ord("\n"), np.uint8)
        lines[:, 1::2], lines[:, 2::2] = _DIGITS[some >> 4], _DIGITS[some & 15]
        digest.update(lines.tobytes()[0 if start else 1 :])
    return digest.hexdigest()[:32]


def _key(batches: Sequence[Batch]) -> str:
    return f"{_LEDGERS}{snapshot_digest(batches)}.npz"


def _packed(ledger: Ledger) -> bytes:
    parts = json.dumps([[part.digest, part.batch.name, part.images] for part in ledger.parts])
    stream = io.BytesIO()
    told = np.frombuffer(parts.encode(), np.uint8)
    np.savez(stream, parts=told, prefixes=ledger.prefixes, owners=ledger.owners)
    return stream.getvalue()


def _unpacked(data: ObjectStore, key: str, batches: Sequence[Batch]) -> Ledger | None:
    """Return a ledger that is kept, None if it cannot be read: then it is worked out again."""
    named = {batch.name: batch for batch in batches}
    try:
        with np.load(io.BytesIO(data.get(key)), allow_pickle=False) as arrays:
            told = json.loads(arrays["parts"].tobytes())
            parts = tuple(PartRef(str(digest), named[name], int(images)) for digest, name, images in told)
            return Ledger(parts, arrays["prefixes"], arrays["owners"])
    except (NoSuchObject, OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
