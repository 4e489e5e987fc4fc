"""The plan of a run: which parts of a snapshot are new to the store, and which objects each data step needs for that.

A plan is found again by what it depends on (the snapshot, the code, the weights, what it is compared with), so that an
identical run has identical inputs, although the store has meanwhile learned what the first one found out. Its
manifests are ManifestFiles of SageMaker.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain, groupby
from pathlib import Path

from pipelines.data.parts import Parts
from pipelines.planning.knowledge import Knowledge
from pipelines.storage.bulk import Mirror
from pipelines.storage.protocol import LostRace, NoSuchObject, ObjectStore
from steps.core.common.errors import UserError
from steps.core.common.scratch import scratch
from steps.core.dataset.label_places import FOLDER_PER_CLASS
from steps.core.dataset.plan import (
    CUT_OBJECTS,
    DATASETS,
    FILE_NAME,
    INDEX_OBJECTS,
    INSPECTOR,
    VALIDATE_OBJECTS,
    Plan,
    Source,
    write_manifest,
)
from steps.core.dataset.snapshot import MANIFEST, PLACE, Batch, Part
from steps.core.tiles.spec import PreprocessingSpec

# Parameters of ValidateData besides its plan: another value makes it run again, on a plan of its own.
OF_VALIDATION = ("Classes", "LabelAttribute", "MaxLabelChanges", "Backbone", "PretrainedWeightsUri")
_MANIFESTS = (VALIDATE_OBJECTS, CUT_OBJECTS, INDEX_OBJECTS)
_DEPTH = 2


def plan_run(
    data: ObjectStore,
    source: Source,
    spec: PreprocessingSpec,
    *,
    code: str,
    features: str,
    champion: Source | None = None,
    previous: Source | None = None,
) -> str:
    """Write the plan of a run, or find it, and return its URI; `data` is the bucket of the data.

    `code` identifies the data programs; `features` is the key of the features (`steps.core.tiles.features`) that tiles
    of `spec` have under the run's weights. A comparison whose facts the store does not have is left out.
    """
    with scratch("plan") as folder:
        planner = _Planner(data, spec, folder, features)
        planner.parts(source)  # the latest one first: the parts of an earlier one are among its own
        compared = {"champion": planner.known(champion, facts=True), "previous": planner.known(previous, facts=False)}
        identity = {
            "source": asdict(source),
            "spec": spec.digest,
            "features": features,
            "inspector": INSPECTOR,
            "code": code,
            **{name: asdict(other) if other else None for name, other in compared.items()},
        }
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
        planner.plan(f"plans/{key}", source, compared["champion"], compared["previous"])
    return data.uri(f"plans/{key}")


class _Planner:
    """Works on copies of what it reads, in `folder`."""

    def __init__(self, data: ObjectStore, spec: PreprocessingSpec, folder: Path, features: str) -> None:
        self._data, self._staged, self._features = data, folder / "plan", features
        self._mirror = Mirror(data, folder / "bucket")
        self._known = Knowledge(data, spec, self._mirror, features)
        self._parts = Parts(self._mirror)
        self._batches_of: dict[str, list[Batch]] = {}

    def plan(self, prefix: str, source: Source, champion: Source | None, previous: Source | None) -> None:
        """Write a plan, unless it is there with all that it needs."""
        found, etag = self._found(f"{prefix}/{FILE_NAME}")
        if found is None or not self._is_whole(prefix, found):
            plan = self._new_plan(source, champion, previous)
            # The plan first: of several planners one's counts, and the manifests follow from it, whoever writes them.
            plan.write(self._staged)
            content = (self._staged / FILE_NAME).read_bytes()
            try:
                self._data.put(f"{prefix}/{FILE_NAME}", content, only_if_absent=etag is None, only_if_etag=etag)
            except LostRace:
                plan = self._found(f"{prefix}/{FILE_NAME}")[0] or plan
            self._write_manifests(prefix, plan)
        self._known.remember()

    def known(self, source: Source | None, *, facts: bool) -> Source | None:
        """Return `source` if the store still has all that a comparison with it needs: rows, or also what is seen."""
        if source is None:
            return None
        try:
            batches = self._batches(source)
        except NoSuchObject:
            return None
        there = {info.key for info in self._data.list(f"{source.place.catalogue}/")}
        if not there.issuperset(source.listing_key(batch) for batch in batches):
            return None
        return source if not facts or all(self._known.has_facts(p.digest) for p in self.parts(source)) else None

    def _found(self, key: str) -> tuple[Plan | None, str | None]:
        """Return a plan that is there, None if it is not one, and the etag of what is there."""
        try:
            content, etag = self._data.get_with_etag(key)
        except NoSuchObject:
            return None, None
        (self._staged / FILE_NAME).parent.mkdir(parents=True, exist_ok=True)
        (self._staged / FILE_NAME).write_bytes(content)
        try:
            return Plan.read(self._staged), etag
        except UserError:
            return None, etag

    def _is_whole(self, prefix: str, plan: Plan) -> bool:
        """Tell whether a plan's manifests are there, all objects in them, and the shards and features of old parts."""
        try:
            manifests = [self._mirror.fetch(f"{prefix}/{name}") for name in _MANIFESTS]
        except NoSuchObject:
            return False
        parts = [part.digest for part in self._to_cut(plan.source)]
        return (
            all(self._known.has_tiles(part) for part in parts if part not in plan.cut)
            and all(self._known.has_features(part) for part in parts if part not in plan.describe)
            and all(all_exist(self._data, read_manifest(manifest)) for manifest in manifests)
        )

    def _new_plan(self, source: Source, champion: Source | None, previous: Source | None) -> Plan:
        to_cut = [part.digest for part in self._to_cut(source)]
        return Plan(
            source=source,
            inspect=tuple(p.digest for p in self.parts(source) if not self._known.has_facts(p.digest)),
            cut=tuple(part for part in to_cut if not self._known.has_tiles(part)),
            describe=tuple(part for part in to_cut if not self._known.has_features(part)),
            features=self._features,
            champion=champion,
            previous=previous,
        )

    def _write_manifests(self, prefix: str, plan: Plan) -> None:
        every, to_cut = self.parts(plan.source), self._to_cut(plan.source)
        tables = self._tables(plan.source)
        old = [part.digest for part in to_cut if part.digest not in plan.cut]
        index = [*tables, *map(self._known.index, old)]
        # Of tiles that are there IndexTiles reads those alone that other weights than tonight's have described.
        index += [shard for part in old if part in plan.describe for shard in self._known.shards(part) or ()]
        # A manifest may not be empty: a job that has nothing to cut gets a table that it does not read.
        idle = [] if plan.cut else [f"{DATASETS}/{plan.source.snapshot}/{MANIFEST}"]
        wanted = {
            VALIDATE_OBJECTS: [*self._to_validate(plan, every), *self._images(plan.source, every, plan.inspect)],
            CUT_OBJECTS: [*idle, *self._images(plan.source, to_cut, plan.cut)],
            INDEX_OBJECTS: index,
        }
        for name, keys in wanted.items():
            write_manifest(self._staged / name, self._data.uri(), keys)
            self._data.upload(self._staged / name, f"{prefix}/{name}")

    def _images(self, source: Source, parts: Sequence[Part], digests: Collection[str]) -> Iterator[str]:
        """Yield the keys of the images of those parts that have one of the digests."""
        for part in parts:
            if part.digest in digests:
                yield from (source.file_key(part.batch, path) for path, _ in part.files)

    def _to_validate(self, plan: Plan, parts: Sequence[Part]) -> list[str]:
        """Return the keys that validation needs besides the images to look at."""
        known = [part.digest for part in parts if part.digest not in plan.inspect]
        if plan.champion:
            known += [p.digest for p in self.parts(plan.champion) if p.digest not in plan.inspect]
        keys = [key for part in known for key in self._known.facts(part)]
        for source in (plan.source, plan.champion, plan.previous):
            if source:
                labelled = (batch for batch in self._batches(source) if batch.labels != FOLDER_PER_CLASS)
                keys += [*self._tables(source), *map(source.labels_key, labelled)]
        return keys

    def _tables(self, source: Source) -> list[str]:
        snapshot = f"{DATASETS}/{source.snapshot}"
        listings = (source.listing_key(batch) for batch in self._batches(source))
        return [f"{snapshot}/{MANIFEST}", f"{snapshot}/{PLACE}", *listings]

    def parts(self, source: Source) -> list[Part]:
        return self._parts.of(source, self._batches(source))

    def _to_cut(self, source: Source) -> list[Part]:
        return self._parts.of(source, self._batches(source), to_cut=True)

    def _batches(self, source: Source) -> list[Batch]:
        if source.snapshot not in self._batches_of:
            self._mirror.fetch(f"{DATASETS}/{source.snapshot}/{MANIFEST}")
            self._batches_of[source.snapshot] = source.batches(self._mirror.folder)
        return self._batches_of[source.snapshot]


def read_manifest(path: Path) -> list[str]:
    """Return the keys of a ManifestFile that `steps.core.dataset.plan.write_manifest` wrote."""
    _, *keys = json.loads(path.read_text(encoding="utf-8"))
    return [str(key) for key in keys]


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
