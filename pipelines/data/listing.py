"""The listing of a batch (`steps.core.dataset.snapshot`), written as its files are hashed, in constant memory."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from steps.core.dataset.snapshot import LISTING_COLUMNS

_ROWS = 20_000
_SCHEMA = pa.schema(zip(LISTING_COLUMNS, (pa.string(), pa.string(), pa.int64()), strict=True))


@dataclass(frozen=True, slots=True)
class Listed:
    """What a listing came to: the digest of the batch's content, its files without the labels, all of their bytes."""

    sha256: str
    files: int
    bytes: int


def write_listed(path: Path, labels: str, files: Iterable[tuple[str, str, int]]) -> Listed:
    """Write the listing of a batch's files, (path, sha256, size) each and in the order of the paths.

    The labels file is one of them, counts for the digest, and is not listed.
    """
    digest, count, size = hashlib.sha256(labels.encode()), 0, 0
    with pq.ParquetWriter(path, _SCHEMA) as writer:
        source = iter(files)
        while chunk := list(islice(source, _ROWS)):
            digest.update("".join(f"\0{name}\0{sha256}" for name, sha256, _ in chunk).encode())
            size += sum(number for _, _, number in chunk)
            rows = [row for row in chunk if row[0] != labels]
            count += len(rows)
            columns = zip(*rows, strict=True) if rows else ((), (), ())
            writer.write_table(pa.table([pa.array(c, f.type) for c, f in zip(columns, _SCHEMA, strict=True)], _SCHEMA))
    return Listed(digest.hexdigest(), count, size)


def read_listed(path: Path) -> Iterator[str]:
    """Yield the paths of a listing in their order."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS, columns=["path"], use_threads=False):
            yield from batch.column(0).to_pylist()
