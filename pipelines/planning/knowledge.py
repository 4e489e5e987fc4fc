"""Knowledge in the bucket about parts of labelled data: facts about their images, tiles, and their features.

All are told by a listing of a few objects for each part. Which shards a part's tiles must have stands in its index,
which is read once and remembered.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.storage.bulk import Mirror, read_memo, write_memo
from pipelines.storage.protocol import ObjectStore
from steps.core.dataset.plan import FACTS, FACTS_FILE, FEATURES, INSPECTOR, THUMBNAILS_FILE, TILES
from steps.core.dataset.tables import TILES as TILES_FILE
from steps.core.tiles.features import features_file
from steps.core.tiles.spec import PreprocessingSpec, part_key


class Knowledge:
    """What is known in the bucket `data`, of tiles under `spec` and of their features under the key `features`.

    `mirror` brings the indexes that have to be read.
    """

    def __init__(self, data: ObjectStore, spec: PreprocessingSpec, mirror: Mirror, features: str) -> None:
        self._data, self._spec, self._mirror, self._features = data, spec, mirror, features
        self._memo = f"tiles-{spec.digest[:16]}"
        self._learned = False

    def facts(self, part: str) -> Sequence[str]:
        """Return the keys of what is known of a part's images."""
        return [f"{FACTS}/{INSPECTOR}/{part}/{name}" for name in (FACTS_FILE, THUMBNAILS_FILE)]

    def has_facts(self, part: str) -> bool:
        return self._facts_there.issuperset(self.facts(part))

    def index(self, part: str) -> str:
        """Return the key of the index of a part's tiles."""
        return f"{TILES}/{part_key(self._spec, part)}/{TILES_FILE}"

    def has_tiles(self, part: str) -> bool:
        """Tell whether a part's index is there and whole, and every shard that it names."""
        shards = self.shards(part)
        return shards is not None and self._tiles_there.keys() >= set(shards)

    def has_features(self, part: str) -> bool:
        """Tell whether a part has tiles, and features for each of its shards."""
        shards = self.shards(part)
        return shards is not None and self._features_there.issuperset(map(self._described, shards))

    def _described(self, shard: str) -> str:
        """Return the key of the features of the shard of that key."""
        return f"{FEATURES}/{self._features}/{features_file(shard.removeprefix(f'{TILES}/'))}"

    def shards(self, part: str) -> Sequence[str] | None:
        """Return the keys of the shards that a part's index names, None if it is not there or cannot be read."""
        etag = self._tiles_there.get(self.index(part))
        if etag is None:
            return None
        known = self._shards.get(part)
        if not isinstance(known, list) or known[:1] != [etag]:
            shards = _shards_of(self._mirror.fetch(self.index(part)))
            if shards is None:
                return None
            known = self._shards[part] = [etag, shards]
            self._learned = True
        return [str(shard) for shard in known[1]]

    def remember(self) -> None:
        """Keep what was read, for the next time."""
        if self._learned:
            write_memo(self._data, self._memo, self._shards)
            self._learned = False

    @cached_property
    def _facts_there(self) -> set[str]:
        return {info.key for info in self._data.list(f"{FACTS}/{INSPECTOR}/")}

    @cached_property
    def _tiles_there(self) -> dict[str, str]:
        return {info.key: info.etag for info in self._data.list(f"{TILES}/{self._spec.digest[:16]}/")}

    @cached_property
    def _features_there(self) -> set[str]:
        return {info.key for info in self._data.list(f"{FEATURES}/{self._features}/")}

    @cached_property
    def _shards(self) -> dict[str, Any]:
        return read_memo(self._data, self._memo)


def _shards_of(index: Path) -> list[str] | None:
    """Return the keys of the shards that an index names, None if it cannot be read: then the part is cut again."""
    shards: set[str] = set()
    try:
        with pq.ParquetFile(index, read_dictionary=["shard"]) as file:
            for rows in file.iter_batches(columns=["shard"], use_threads=False):
                shards.update(rows.column(0).unique().to_pylist())
    except (OSError, pa.ArrowException):
        return None
    return sorted(f"{TILES}/{shard}" for shard in shards)
