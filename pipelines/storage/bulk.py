"""Many objects: several at once, because a request waits for S3 and not for this machine; and as files."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

from pipelines.storage.protocol import ObjectStore

# boto3's clients keep ten connections.
_WORKERS, _AT_ONCE = 8, 512
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def at_once(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Yield what comes of each item, in their order, while threads work ahead, but not far; the first error ends it."""
    source = iter(items)
    with ThreadPoolExecutor(_WORKERS) as pool:
        while some := list(islice(source, _AT_ONCE)):
            yield from pool.map(work, some)


class Mirror:
    """Brings objects to the same keys in `folder`, each once; for objects that are not written meanwhile."""

    def __init__(self, objects: ObjectStore, folder: Path) -> None:
        self._objects, self.folder = objects, folder

    def fetch(self, key: str) -> Path:
        """Return the file of an object; raises NoSuchObject."""
        path = self.folder / key
        if not path.is_file():
            self._objects.download(key, path)
        return path
