"""ManifestFiles of SageMaker, written and checked as they stream: they may list a million objects."""

import json
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from pathlib import Path

from pipelines.storage.protocol import ObjectStore
from steps.core.common.files import replacing

_DEPTH = 2
_text = json.JSONEncoder(ensure_ascii=False).encode


def write_manifest(path: Path, prefix: str, keys: Iterable[str]) -> None:
    """Write a ManifestFile of sorted keys below `prefix`, a URI that ends in a slash; each key once, one a line."""
    with replacing(path) as beside, beside.open("w", encoding="utf-8") as stream:
        stream.write(f'[\n{{\n"prefix": {_text(prefix)}\n}}')
        stream.writelines(f",\n{_text(key)}" for key, _ in groupby(keys))
        stream.write("\n]\n")


def read_manifest(path: Path) -> Iterator[str]:
    """Yield the keys of a ManifestFile that `write_manifest` wrote."""
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            if line.startswith('"') and not line.startswith('"prefix": '):
                yield str(json.loads(line.rstrip("\n,")))


def all_exist(objects: ObjectStore, keys: Iterable[str]) -> bool:
    """Tell whether there is an object for each of some sorted keys: a batch is listed, a single key is asked for."""
    return all(_exist_below(objects, folder, several) for folder, several in groupby(keys, key=_folder))


def _exist_below(objects: ObjectStore, folder: str, keys: Iterator[str]) -> bool:
    first, second = next(keys), next(keys, None)
    if second is None:
        return objects.info(first) is not None
    listed = (info.key for info in objects.list(folder.lstrip("/")))
    # Both are in order: what is passed over in the listing is none of the later keys.
    return all(key in listed for key in chain((first, second), keys))


def _folder(key: str) -> str:
    """Return the beginning of a key that names a batch, a part or a kind of tables: `labelled/<batch>/`."""
    return "/".join(key.split("/")[:-1][:_DEPTH]) + "/"
