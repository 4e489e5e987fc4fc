"""The parts of a snapshot (`steps.core.dataset.snapshot.parts_of`) where it may be of a million images.

A *ledger* has the parts of some batches, and the part of each of their images: sorted arrays, 36 bytes an image.
"""

import hashlib
import re
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.storage.bulk import Mirror, at_once
from pipelines.storage.protocol import NoSuchObject
from steps.core.common.errors import UserError
from steps.core.dataset.plan import Source
from steps.core.dataset.snapshot import REFERENCE, Batch

_BYTES = 32
_ROWS = 20_000
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

    def before(self, number: int) -> Self:
        """Return the first `number` parts alone, which later ones never change."""
        chosen = self.owners < number
        return type(self)(self.parts[:number], self.images[chosen], self.owners[chosen])

    def owners_of(self, images: _Images) -> _Owners:
        """Return the number of each image's part, -1 where none has it."""
        if not len(self.images):
            return np.full(len(images), -1, np.int32)
        at = np.minimum(np.searchsorted(self.images, images), len(self.images) - 1)
        return np.where(self.images[at] == images, self.owners[at], np.int32(-1))

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
    """The parts of snapshots; `mirror` brings their listings, in whose order files are told."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._kept = [(list[Batch](), Ledger((), np.empty(0, _SHA256), np.empty(0, np.int32)))]

    def ledger(self, source: Source, batches: Sequence[Batch], *, to_cut: bool = False) -> Ledger:
        """Return the parts of a snapshot, with `to_cut` of those batches alone that may be learned from."""
        wanted = sorted(batch for batch in batches if not (to_cut and batch.kind == REFERENCE))
        for kept, ledger in self._kept:
            if kept[: len(wanted)] == wanted:
                return ledger.before(sum(part.batch in wanted for part in ledger.parts))
        begun, ledger = max((one for one in self._kept if wanted[: len(one[0])] == one[0]), key=lambda one: len(one[0]))
        fresh = wanted[len(begun) :]
        with suppress(NoSuchObject):  # which is told by whoever reads the listing
            deque(at_once(self._mirror.fetch, map(source.listing_key, fresh)), maxlen=0)
        for batch in fresh:
            ledger = ledger.extended(batch, np.unique(self._images(batch, source)))
        self._kept.append((wanted, ledger))
        return ledger

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
