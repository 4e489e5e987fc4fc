"""The objects below a prefix as a table that a million of them do not make large, and work on many of them at once."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.storage.protocol import ObjectStore

_CHUNK = 10_000
# boto3's clients keep ten connections; S3 answers a request in some 20 ms, so that the machine waits, not works.
_WORKERS, _AT_ONCE = 8, 64
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class ObjectTable(Mapping[str, int]):
    """The objects below `prefix` in the order of their paths; a mapping from path, relative to it, to position.

    It holds a path, an etag, a size and a hash for each, some 120 bytes; `newest` is when the youngest was written.
    """

    def __init__(self, objects: ObjectStore, prefix: str) -> None:
        self.prefix, self.newest, self.depth = prefix, datetime.fromtimestamp(0, UTC), 1
        paths, etags, sizes, hashes = [], [], [], []
        found = objects.list(prefix)
        while chunk := list(islice(found, _CHUNK)):
            names = [info.key[len(prefix) :] for info in chunk]
            self.newest = max(self.newest, *(info.modified for info in chunk))
            self.depth = max(self.depth, *(name.count("/") + 1 for name in names))
            paths.append(pa.array(names, pa.large_string()))
            etags.append(pa.array([info.etag for info in chunk], pa.large_string()))
            sizes.append(np.array([info.size for info in chunk], np.int64))
            hashes.append(_hashes(names))
        self._paths = _joined(paths)
        self._etags = _joined(etags)
        self.sizes = np.concatenate([*sizes, np.empty(0, np.int64)])
        unordered = np.concatenate([*hashes, np.empty(0, np.int64)])
        self._order = np.argsort(unordered, kind="stable").astype(np.int32)
        self._hashes = unordered[self._order]
        self._sorted = self._hashes.data

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _CHUNK):
            yield from self._paths.slice(start, _CHUNK).to_pylist()

    def __getitem__(self, path: str) -> int:
        wanted = hash(path)
        # One search at a time goes three times as fast over a memoryview as over the array.
        at = bisect_left(self._sorted, wanted)
        while at < len(self._sorted) and self._sorted[at] == wanted:
            position = int(self._order[at])
            if self._paths[position].as_py() == path:
                return position
            at += 1
        raise KeyError(path)

    def etag(self, path: str) -> str:
        return str(self._etags[self[path]].as_py())

    def positions(self, paths: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the positions of many paths at once; raises KeyError if one is not there."""
        wanted = _hashes(paths)
        found = np.searchsorted(self._hashes, wanted)
        if np.any(self._hashes[np.minimum(found, len(self) - 1)] != wanted):
            raise KeyError("a path is not there")
        positions = self._order[found].astype(np.int64)
        same = self._paths.take(pa.array(positions)).to_pylist()
        for at in (at for at, (one, other) in enumerate(zip(same, paths, strict=True)) if one != other):
            positions[at] = self[paths[at]]  # two paths share a hash
        return positions

    def rows(self, wanted: npt.NDArray[np.bool_]) -> Iterator[tuple[str, str, int]]:
        """Yield path, etag and size of the objects that a mask wants, in their order."""
        for start in range(0, len(self), _CHUNK):
            here = np.flatnonzero(wanted[start : start + _CHUNK])
            paths, etags = (column.slice(start, _CHUNK).take(pa.array(here)) for column in (self._paths, self._etags))
            yield from zip(paths.to_pylist(), etags.to_pylist(), self.sizes[start + here].tolist(), strict=True)

    def top(self) -> tuple[list[str], list[str]]:
        """Return the names of the files and of the folders that lie directly below the prefix."""
        files, folders = [], dict[str, None]()
        for path in self:
            first, inside, _ = path.partition("/")
            if inside:
                folders[first] = None
            else:
                files.append(first)
        return files, list(folders)


def at_once(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Yield what comes of each item, in their order, while threads work ahead, but not far; the first error ends it."""
    chunks = _chunks(items)
    waiting = deque[Future[list[_Result]]]()
    with ThreadPoolExecutor(_WORKERS) as pool:
        try:
            for chunk in islice(chunks, 2 * _WORKERS):
                waiting.append(pool.submit(_each, work, chunk))
            while waiting:
                done = waiting.popleft().result()
                for chunk in islice(chunks, 1):
                    waiting.append(pool.submit(_each, work, chunk))
                yield from done
        finally:
            pool.shutdown(cancel_futures=True)


def _each(work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    return [work(item) for item in items]


def _chunks(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """Yield small chunks at first, so that a few items keep all threads busy."""
    source, size = iter(items), 1
    while chunk := list(islice(source, size)):
        yield chunk
        size = min(size + 1, _AT_ONCE)


def _hashes(names: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.array([hash(name) for name in names], np.int64)


def _joined(arrays: Sequence[pa.Array]) -> pa.Array:
    return pa.concat_arrays(arrays) if arrays else pa.array([], pa.large_string())
