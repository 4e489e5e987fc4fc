"""Many objects: several at once, as files, and what is remembered of them so that they need not be read again."""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from pipelines.storage.protocol import NoSuchObject, ObjectStore

# A request waits for S3, not for this machine; boto3's clients keep ten connections.
_WORKERS, _AT_ONCE = 8, 512
# What lies here may be removed at any time: lost or damaged, it is only worked out once more.
_MEMO = "plans/memo/1"
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


def read_memo(objects: ObjectStore, name: str) -> dict[str, Any]:
    """Return a memo, empty if there is none that can be read."""
    try:
        value = json.loads(objects.get(f"{_MEMO}/{name}.json"))
    except (NoSuchObject, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_memo(objects: ObjectStore, name: str, value: dict[str, Any]) -> None:
    objects.put(f"{_MEMO}/{name}.json", json.dumps(value, sort_keys=True).encode())
