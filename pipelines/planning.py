"""Planning a run: which parts of a snapshot are new to the store, and which objects each data step needs for that.

A plan is found again by what it depends on (the snapshot, the code, what it is compared with), so that an identical
run has identical inputs, although the store has meanwhile learned what the first one found out.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from pipelines.local import LocalStore
from pipelines.settings import Settings
from steps.core.dataset import TILES as TILES_FILE
from steps.core.facts import FACTS as FACTS_FILE
from steps.core.facts import THUMBNAILS
from steps.core.files import read_json, write_text
from steps.core.plan import DATASETS, FACTS, INSPECTOR, PREPROCESS_OBJECTS, TILES, VALIDATE_OBJECTS, Plan, Source
from steps.core.snapshot import MANIFEST, PLACE, Part, parts_of, parts_to_cut
from steps.core.spec import PreprocessingSpec
from steps.core.tilestore import part_key, read_part


def plan_run(
    store: LocalStore,
    settings: Settings,
    source: Source,
    spec: PreprocessingSpec,
    *,
    code: str,
    champion: Source | None = None,
    previous: Source | None = None,
) -> str:
    """Write the plan of a run, or find it, and return its URI.

    `code` identifies the data programs. A comparison whose facts the store does not have is left out.
    """
    planner = _Planner(store, settings, spec)
    compared = {"champion": planner.known(champion, facts=True), "previous": planner.known(previous, facts=False)}
    identity = {
        "source": asdict(source),
        "spec": spec.digest,
        "inspector": INSPECTOR,
        "code": code,
        **{name: asdict(other) if other else None for name, other in compared.items()},
    }
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
    uri = settings.uri("plans", key)
    if not planner.is_whole(uri, source):
        planner.write(uri, source, compared["champion"], compared["previous"])
    return uri


class _Planner:
    def __init__(self, store: LocalStore, settings: Settings, spec: PreprocessingSpec) -> None:
        self._store, self._settings, self._spec = store, settings, spec
        self._bucket = store.path(settings.uri())

    def write(self, uri: str, source: Source, champion: Source | None, previous: Source | None) -> None:
        parts, to_cut = self._parts(source), self._parts(source, parts_to_cut)
        plan = Plan(
            source=source,
            inspect=tuple(part.digest for part in parts if not self._has_facts(part)),
            cut=tuple(part.digest for part in to_cut if not self._has_tiles(part)),
            champion=champion,
            previous=previous,
        )
        with self._store.scratch() as staged:
            plan.write(staged)
            self._write_objects(staged / VALIDATE_OBJECTS, self._to_validate(plan, parts))
            self._write_objects(staged / PREPROCESS_OBJECTS, self._to_preprocess(plan, to_cut))
            self._store.commit(staged, uri, give_up=True)

    def known(self, source: Source | None, *, facts: bool) -> Source | None:
        """Return `source` if the store still has all that a comparison with it needs: rows, or also what is seen."""
        if source is None:
            return None
        batches = source.batches(self._bucket)
        if not all(self._exists(source.listing_key(batch)) for batch in batches):
            return None
        return source if not facts or all(self._has_facts(part) for part in self._parts(source)) else None

    def is_whole(self, uri: str, source: Source) -> bool:
        """Tell whether the plan exists, every object that it lists, and every shard of the parts it takes as cut."""
        for name in (VALIDATE_OBJECTS, PREPROCESS_OBJECTS):
            path = self._store.path(f"{uri}/{name}")
            if not path.is_file() or not all(self._exists(key) for key in read_json(path)[1:]):
                return False
        cut = Plan.read(self._store.path(uri)).cut
        return all(self._has_tiles(p) for p in self._parts(source, parts_to_cut) if p.digest not in cut)

    def _parts(self, source: Source, split: Callable[..., list[Part]] = parts_of) -> list[Part]:
        return split(source.batches(self._bucket), lambda batch: source.listing(self._bucket, batch))

    def _exists(self, key: str) -> bool:
        return (self._bucket / key).is_file()

    def _facts(self, part: Part) -> list[str]:
        return [f"{FACTS}/{INSPECTOR}/{part.digest}/{name}" for name in (FACTS_FILE, THUMBNAILS)]

    def _has_facts(self, part: Part) -> bool:
        return all(map(self._exists, self._facts(part)))

    def _has_tiles(self, part: Part) -> bool:
        """Tell whether the index of a part is there, and every shard that it names: a killed upload may lack some."""
        key = part_key(self._spec, part.digest)
        if not self._exists(f"{TILES}/{key}/{TILES_FILE}"):
            return False
        return all(self._exists(f"{TILES}/{shard}") for shard in set(read_part(self._bucket / TILES, key)["shard"]))

    def _to_validate(self, plan: Plan, parts: Sequence[Part]) -> list[str]:
        sources = [source for source in (plan.source, plan.champion, plan.previous) if source]
        keys = [plan.source.file_key(p.batch, path) for p in parts if p.digest in plan.inspect for path, _ in p.files]
        keys += [key for part in parts if part.digest not in plan.inspect for key in self._facts(part)]
        for source in sources:
            keys += self._tables(source)
            keys += [
                source.labels_key(batch)
                for batch in source.batches(self._bucket)
                if self._exists(source.labels_key(batch))
            ]
        if plan.champion:
            theirs = self._parts(plan.champion)
            keys += [key for part in theirs for key in self._facts(part) if part.digest not in plan.inspect]
        return keys

    def _to_preprocess(self, plan: Plan, parts: Sequence[Part]) -> list[str]:
        keys = self._tables(plan.source)
        keys += [plan.source.file_key(p.batch, path) for p in parts if p.digest in plan.cut for path, _ in p.files]
        return keys + [
            f"{TILES}/{part_key(self._spec, part.digest)}/{TILES_FILE}" for part in parts if part.digest not in plan.cut
        ]

    def _tables(self, source: Source) -> list[str]:
        batches = source.batches(self._bucket)
        return [
            *(f"{DATASETS}/{source.snapshot}/{name}" for name in (MANIFEST, PLACE)),
            *(source.listing_key(batch) for batch in batches),
        ]

    def _write_objects(self, path: Path, keys: Sequence[str]) -> None:
        manifest = [{"prefix": self._settings.uri() + "/"}, *sorted(set(keys))]
        write_text(path, json.dumps(manifest, indent=0, ensure_ascii=False) + "\n")
