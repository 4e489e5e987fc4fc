"""What lies in the store and nothing refers to: half-added batches, and parts whose writer was killed or nobody uses.

A batch is referred to by its card, by a snapshot, or by a claim (`pipelines.data.publish`) that was just made. A part
of the tile store is whole with its index and every shard that this names, a part of the facts with both of its tables;
a shard that its part's index does not name is of no use. Features are as their shard is: they go after it.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.data.add import CONTENTS
from pipelines.data.catalogue import Catalogue
from pipelines.executor.files import read_json, walk_files
from pipelines.executor.store import LocalStore
from steps.core.dataset.plan import DATASETS, FACTS, FEATURES, TILES
from steps.core.dataset.snapshot import AD_HOC, MANIFEST, read_snapshot
from steps.core.dataset.tables import TILES as TILE_INDEX
from steps.core.dataset.tables import read_tiles
from steps.core.tiles.features import features_file
from steps.validate.image_facts import FACTS as FACT_INDEX
from steps.validate.image_facts import THUMBNAILS

DAY_SECONDS = 86_400.0


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
    begun = _begun(catalogue)
    # The claims first: who comes back to one that is gone adds nothing.
    found = list(begun.values())
    for uri, why in _candidates(catalogue, alive, kept):
        orphan = _orphan(catalogue.store, uri, why)
        claim = begun.get(orphan.path.name.removesuffix(".parquet"), orphan)
        found.append(replace(orphan, touched=max(orphan.touched, claim.touched)))
    return [orphan for orphan in found if orphan.touched <= youngest]


def remove(store: LocalStore, found: Iterable[Orphan]) -> None:
    """Remove orphans; each vanishes from its place at once, so that a kill leaves none of them half there."""
    for orphan in found:
        # What lay in an orphan that is gone by now is gone with it.
        with store.scratch() as bin_, suppress(FileNotFoundError):
            shutil.move(orphan.path, bin_ / "removed")


def _candidates(
    catalogue: Catalogue, alive: Callable[[str], bool], kept: AbstractSet[str]
) -> Iterator[tuple[str, str]]:
    """Yield (URI, why nothing refers to it)."""
    store, uri = catalogue.store, catalogue.uri
    named = {batch.name for batch in catalogue.added()}
    named |= {
        batch.name
        for manifest in store.path(uri(DATASETS)).glob(f"*/{MANIFEST}")
        for batch in read_snapshot(manifest.parent)
    }
    for folder in _folders(store.path(uri("labelled"))):
        if folder.name not in named:
            yield uri("labelled", folder.name), "a batch without a card, in no snapshot"
    for listing in sorted(store.path(uri("catalogue")).glob("*.parquet")):
        if listing.stem not in named and not listing.name.startswith("."):
            yield uri("catalogue", listing.name), "the listing of a batch without a card"
    yield from _parts(catalogue, alive, kept)
    yield from _ad_hoc(catalogue)


def _parts(catalogue: Catalogue, alive: Callable[[str], bool], kept: AbstractSet[str]) -> Iterator[tuple[str, str]]:
    store, uri = catalogue.store, catalogue.uri
    for prefix, names in ((TILES, [TILE_INDEX]), (FACTS, [FACT_INDEX, THUMBNAILS])):
        for version in _folders(store.path(uri(prefix))):
            for part in _folders(version):
                yield from _of_part(part, uri(prefix, version.name, part.name), names, alive, kept)
    for key in _folders(store.path(uri(FEATURES))):
        for part in (part for spec in _folders(key) for part in _folders(spec)):
            yield from _of_features(catalogue, part, f"{key.name}/{part.parent.name}/{part.name}", alive, kept)


def _begun(catalogue: Catalogue) -> dict[str, Orphan]:
    """Return the claims of batches without a card by the batch's name, touched when any of its files was."""
    store, uri = catalogue.store, catalogue.uri
    carded = {batch.name for batch in catalogue.added()}
    found = {}
    for claim in sorted(store.path(uri("catalogue", CONTENTS)).glob("*.json")):
        name = str((read_json(claim) or {}).get("name"))
        if name not in carded:
            orphan = _orphan(store, uri("catalogue", CONTENTS, claim.name), "a batch that was begun and has no card")
            if store.path(uri("labelled", name)).is_dir():
                files = _orphan(store, uri("labelled", name), "")
                orphan = replace(orphan, touched=max(orphan.touched, files.touched))
            found[name] = orphan
    return found


def _ad_hoc(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """Yield the batches that were named with `--data` and never got their listing, which comes last."""
    for folder in _folders(catalogue.store.path(catalogue.uri(AD_HOC.labelled))):
        if not catalogue.store.path(catalogue.uri(AD_HOC.catalogue, f"{folder.name}.parquet")).is_file():
            yield catalogue.uri(AD_HOC.labelled, folder.name), "a batch without a listing"


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


def _orphan(store: LocalStore, uri: str, why: str) -> Orphan:
    return weighed(store.path(uri), uri, why)


def weighed(path: Path, name: str, why: str) -> Orphan:
    """Return a file or a folder as an orphan."""
    if path.is_file():
        files, places = [path], [path]
    else:
        files = [file for _, file in walk_files(path)]
        places = [path, *(p for p in path.rglob("*") if p.is_dir()), *files]
    stats = [file.lstat() for file in files]
    # A file that moved has an old mtime; what its writer does to it still shows in its ctime.
    touched = max(max(stat.st_mtime, stat.st_ctime) for stat in (place.lstat() for place in places))
    return Orphan(name, why, len(files), sum(s.st_size for s in stats if s.st_nlink == 1), touched, path)
