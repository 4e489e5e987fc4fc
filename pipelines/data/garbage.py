"""Garbage in the store: half-added batches, parts that nobody uses, what killed commands left.

A batch is referred to by its card, by a snapshot, or by a claim (`pipelines.data.add`) that was just made. A part of
the tile store is whole with its index and every shard that this names, a part of the facts with both of its tables; a
shard that its part's index does not name is of no use. Features are as their shard is: they go after it.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.data.add import CONTENTS
from pipelines.data.catalogue import Catalogue
from pipelines.data.parts import Parts
from pipelines.definition.step_table import INDEX
from pipelines.executor.files import PART, walk_files
from pipelines.executor.files import read_json as read_json_or_none
from pipelines.executor.store import LocalStore
from pipelines.storage.bulk import Mirror
from steps.core.common.errors import UserError
from steps.core.common.files import read_json
from steps.core.dataset.plan import (
    DATASETS,
    FACTS,
    FACTS_FILE,
    FEATURES,
    INSPECTOR,
    SHARDS_MANIFEST,
    THUMBNAILS_FILE,
    TILES,
    Source,
)
from steps.core.dataset.snapshot import AD_HOC, MANIFEST, Place, read_place, read_snapshot
from steps.core.dataset.tables import TILES as TILE_INDEX
from steps.core.dataset.tables import read_tiles
from steps.core.tiles.features import features_file

DAY_SECONDS = 86_400.0
_SHARDS = f"*/{INDEX.name}/tiles/{SHARDS_MANIFEST}"
_KILLED = "left by a command that was killed"
_UNFINISHED = f"*{PART}", ".unfinished.*"
# What `tempfile` was asked for by us, and what TensorFlow writes for each traced function and does not remove.
_TEMPORARY = "tilegate-*", "__autograph_generated_file*.py"


@dataclass(frozen=True, slots=True)
class Orphan:
    """A folder or an object that nothing refers to. `bytes` are those that removing it frees, other names not counted.

    `uri` names it for people, `path` is where it lies. `touched` is when anything in it was last written or moved, in
    seconds since 1970; 0 if it is known that nobody is at work on it.
    """

    uri: str
    why: str
    files: int
    bytes: int
    touched: float
    path: Path


def orphans(
    catalogue: Catalogue,
    alive: Callable[[str], bool],
    *,
    kept: AbstractSet[str] = frozenset(),
    min_age_seconds: float = DAY_SECONDS,
    now: float | None = None,
) -> list[Orphan]:
    """Return what nothing refers to and nobody has touched for `min_age_seconds`; hold the catalogue's lock meanwhile.

    `alive` is asked for the URI of each whole part (`s3://<bucket>/tiles/<spec>/<part>`) whether anything uses it;
    `kept` are URIs of shards that are in use whatever their part's index says, and keep their part with them.
    Raises UserError if a card, a snapshot or an index cannot be read: then nobody knows what refers to what.
    """
    youngest = (time.time() if now is None else now) - min_age_seconds
    carded = {batch.name for batch in catalogue.added()}
    begun = _begun(catalogue, carded)
    # The claims first: who comes back to one that is gone adds nothing.
    found = list(begun.values())
    for uri, why in (*_batches(catalogue, carded), *_parts(catalogue, alive, kept)):
        orphan = _orphan(catalogue.store.path(uri), uri, why)
        claim = begun.get(orphan.path.name.removesuffix(".parquet"), orphan)
        found.append(replace(orphan, touched=max(orphan.touched, claim.touched)))
    return [orphan for orphan in found if orphan.touched <= youngest]


def remove(store: LocalStore, found: Iterable[Orphan]) -> None:
    """Remove orphans; each vanishes from its place at once, so that a kill leaves none of them half there."""
    for orphan in found:
        # What lay in an orphan that is gone by now is gone with it.
        with store.scratch() as bin_, suppress(FileNotFoundError):
            shutil.move(orphan.path, bin_ / "removed")


def leftovers(store: LocalStore, *, now: float | None = None) -> Iterator[Orphan]:
    """Yield what nobody finishes any more; what is staged is known to be nobody's, the rest tells its age alone.

    Temporary files, which may be of another home, are only told when they are a day old at `now`.
    """
    home, yesterday = store.root.parent, (time.time() if now is None else now) - DAY_SECONDS
    staged = store.abandoned()
    for path in staged:
        yield replace(_orphan(path, path.relative_to(home).as_posix(), _KILLED), touched=0.0)
    for pattern in _UNFINISHED:
        for path in sorted(home.rglob(pattern)):
            if not any(path.is_relative_to(folder) for folder in staged):
                yield from _left(path, path.relative_to(home).as_posix())
    for pattern in _TEMPORARY:
        for path in sorted(Path(tempfile.gettempdir()).glob(pattern)):
            yield from (left for left in _left(path, str(path)) if left.touched <= yesterday)


def _left(path: Path, name: str) -> Iterator[Orphan]:
    # It may vanish while it is looked at; what is another user's is not ours to remove.
    with suppress(FileNotFoundError):
        if path.lstat().st_uid == os.getuid() and not path.is_symlink():
            yield _orphan(path, name, _KILLED)


def part_is_used(catalogue: Catalogue) -> Callable[[str], bool]:
    """Return what tells whether the part at a URI (`s3://<bucket>/tiles/<spec>/<part>`) is used.

    It is, if a snapshot or the catalogue as it is now has the part; facts only of the present INSPECTOR. Raises
    UserError if a snapshot or a listing cannot be read: then nobody knows.
    """
    bucket = catalogue.store.path(catalogue.uri())
    # The folder of the bucket is its own mirror: nothing is copied.
    parts = Parts(Mirror(catalogue.data, bucket))
    used = {part.digest for part in parts.of(Source(""), catalogue.batches())}
    manifests = (bucket / DATASETS).glob(f"*/{MANIFEST}")
    sources = [Source(manifest.parent.name, read_place(manifest.parent)) for manifest in manifests]
    snapshots = [(source, source.batches(bucket)) for source in sources]
    # The longest first: what begins as it does is then known.
    for source, batches in sorted(snapshots, key=lambda snapshot: -len(snapshot[1])):
        used |= {part.digest for part in parts.of(source, batches)}

    def is_used(uri: str) -> bool:
        kind, version, part = uri.removeprefix(catalogue.uri() + "/").split("/")
        return part in used and (kind != FACTS or version == INSPECTOR)

    return is_used


def shards_of_runs(catalogue: Catalogue) -> frozenset[str]:
    """Return the URIs of the shards that a run's index of tiles names; raises UserError if one cannot be read."""
    found: set[str] = set()
    for path in catalogue.store.path(catalogue.uri("runs")).glob(_SHARDS):
        manifest = read_json(path)
        try:
            found.update(catalogue.uri(TILES, str(shard)) for shard in manifest[1:])
        except (TypeError, KeyError) as error:
            raise UserError(f"{path} is no list of shards ({error}): nobody knows what is still in use") from None
    return frozenset(found)


def _batches(catalogue: Catalogue, carded: AbstractSet[str]) -> Iterator[tuple[str, str]]:
    """Yield the URIs of the files and the listings of batches that are none, and why; of those of `--data` as well."""
    store, uri, place = catalogue.store, catalogue.uri, Place()
    manifests = store.path(uri(DATASETS)).glob(f"*/{MANIFEST}")
    named = carded | {batch.name for manifest in manifests for batch in read_snapshot(manifest.parent)}
    for folder in _folders(store.path(uri(place.labelled))):
        if folder.name not in named:
            yield uri(place.labelled, folder.name), "a batch without a card, in no snapshot"
    for listing in sorted(store.path(uri(place.catalogue)).glob("*.parquet")):
        if listing.stem not in named and not listing.name.startswith("."):
            yield uri(place.catalogue, listing.name), "the listing of a batch without a card"
    for folder in _folders(store.path(uri(AD_HOC.labelled))):
        # Its listing comes last.
        if not store.path(uri(AD_HOC.catalogue, f"{folder.name}.parquet")).is_file():
            yield uri(AD_HOC.labelled, folder.name), "a batch without a listing"


def _begun(catalogue: Catalogue, carded: AbstractSet[str]) -> dict[str, Orphan]:
    """Return the claims of batches without a card by the batch's name, touched when any of its files was."""
    store, uri, place = catalogue.store, catalogue.uri, Place()
    found = {}
    for claim in sorted(store.path(uri(place.catalogue, CONTENTS)).glob("*.json")):
        name = str((read_json_or_none(claim) or {}).get("name"))
        if name not in carded:
            orphan = _orphan(
                claim, uri(place.catalogue, CONTENTS, claim.name), "a batch that was begun and has no card"
            )
            if (folder := store.path(uri(place.labelled, name))).is_dir():
                orphan = replace(orphan, touched=max(orphan.touched, _orphan(folder, "", "").touched))
            found[name] = orphan
    return found


def _parts(catalogue: Catalogue, alive: Callable[[str], bool], kept: AbstractSet[str]) -> Iterator[tuple[str, str]]:
    """Yield the URIs of parts, shards and features that are of no use, and why."""
    store, uri = catalogue.store, catalogue.uri
    for prefix, names in ((TILES, [TILE_INDEX]), (FACTS, [FACTS_FILE, THUMBNAILS_FILE])):
        for version in _folders(store.path(uri(prefix))):
            for part in _folders(version):
                yield from _of_part(part, uri(prefix, version.name, part.name), names, alive, kept)
    for key in _folders(store.path(uri(FEATURES))):
        for part in (part for spec in _folders(key) for part in _folders(spec)):
            yield from _of_features(catalogue, part, f"{key.name}/{part.parent.name}/{part.name}", alive, kept)


def _of_part(
    part: Path, uri: str, names: Sequence[str], alive: Callable[[str], bool], kept: AbstractSet[str]
) -> Iterator[tuple[str, str]]:
    wanted = set(names)
    held = {shard.name for shard in part.glob("*.tfrecord") if f"{uri}/{shard.name}" in kept}
    if TILE_INDEX in names and (part / TILE_INDEX).is_file():
        wanted.update(str(shard).rpartition("/")[2] for shard in read_tiles(part)["shard"].unique())
    if lacking := sorted(name for name in wanted if not (part / name).is_file()):
        if not held:
            yield uri, f"a part without its {lacking[0]}"
    elif not alive(uri) and not held:
        yield uri, "a part that nothing uses"
    else:
        for shard in sorted(part.glob("*.tfrecord")):
            if shard.name not in wanted | held:
                yield f"{uri}/{shard.name}", "a shard that no index names"


def _of_features(
    catalogue: Catalogue, part: Path, key: str, alive: Callable[[str], bool], kept: AbstractSet[str]
) -> Iterator[tuple[str, str]]:
    tiles = catalogue.uri(TILES, key.partition("/")[2])
    shards = sorted(catalogue.store.path(tiles).glob("*.tfrecord"))
    used = alive(tiles)
    described = {features_file(shard.name) for shard in shards if used or f"{tiles}/{shard.name}" in kept}
    files = sorted(file.name for file in part.glob("*.npy"))
    if described.isdisjoint(files):
        yield catalogue.uri(FEATURES, key), "features of tiles that are gone or that nothing uses"
        return
    for file in files:
        if file not in described:
            yield catalogue.uri(FEATURES, key, file), "features of a shard that is gone"


def _folders(parent: Path) -> list[Path]:
    return sorted(p for p in parent.iterdir() if p.is_dir()) if parent.is_dir() else []


def _orphan(path: Path, name: str, why: str) -> Orphan:
    if path.is_file():
        files, places = [path], [path]
    else:
        files = [file for _, file in walk_files(path)]
        places = [path, *(p for p in path.rglob("*") if p.is_dir()), *files]
    stats = [file.lstat() for file in files]
    # A file that moved has an old mtime; what its writer does to it still shows in its ctime.
    touched = max(max(stat.st_mtime, stat.st_ctime) for stat in (place.lstat() for place in places))
    return Orphan(name, why, len(files), sum(s.st_size for s in stats if s.st_nlink == 1), touched, path)
