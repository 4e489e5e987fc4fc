"""One night's intake, snapshot and plan over generated objects, in a process of its own: prints what it took, as JSON.

The images do not exist: the store that is made here tells of a generated listing, with checksums as S3 gives them, and
counts what is copied and removed. Labels, listings, cards, snapshots and plans are real objects in a folder.
"""

import hashlib
import json
import os
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.data.inbox import take_in_inbox
from pipelines.data.parts import Parts
from pipelines.data.snapshots import current_dataset
from pipelines.planning.planner import plan_run
from pipelines.storage.bulk import Mirror
from pipelines.storage.folder import FolderObjects
from pipelines.storage.protocol import ObjectInfo
from steps.core.dataset.classes import Classes
from steps.core.dataset.plan import FACTS, FACTS_FILE, FEATURES, INSPECTOR, THUMBNAILS_FILE, TILES, Plan
from steps.core.dataset.tables import TILES as TILES_FILE
from steps.core.tiles.features import features_file
from steps.core.tiles.spec import PreprocessingSpec, part_key

BUCKET, KEY = "tilegate-local", "0123456789abcdef"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


class GeneratedObjects(FolderObjects):
    """A folder of objects, and besides them the images of `inbox/<drop>/`, `first` of them passed over."""

    def __init__(self, folder: Path, drop: str, first: int, count: int) -> None:
        super().__init__(folder, BUCKET)
        self._inbox, self._numbers = f"inbox/{drop}/", range(first, first + count)
        self._there, self.calls = True, Counter()

    def _is_image(self, key):
        return key.endswith(".png")

    def list(self, prefix=""):
        self.calls["list"] += 1
        if prefix == self._inbox and self._there:
            for number in self._numbers:
                yield ObjectInfo(f"{prefix}images/{number:09}.png", 250_000, f'"{number:032x}"', LONG_AGO)
        yield from super().list(prefix)

    def sha256(self, key):
        if not self._is_image(key):
            return super().sha256(key)
        return hashlib.sha256(key[-13:].encode()).hexdigest()

    def copy(self, source, key, *, source_etag=None):
        self.calls["copy"] += 1
        if not self._is_image(key):
            super().copy(source, key, source_etag=source_etag)

    def delete(self, key):
        self.calls["delete"] += 1
        if self._is_image(key):
            self._there = False
        else:
            super().delete(key)

    def info(self, key):
        self.calls["info"] += 1
        return super().info(key)

    def get_with_etag(self, key):
        self.calls["get"] += 1
        return super().get_with_etag(key)


def write_labels(folder: Path, drop: str, first: int, count: int) -> None:
    """Drop a Ground Truth output manifest that names the generated images."""
    path = folder / "inbox" / drop / "output.manifest"
    path.parent.mkdir(parents=True)
    with path.open("w") as stream:
        for number in range(first, first + count):
            label = number % 2
            record = {
                "source-ref": f"s3://{BUCKET}/inbox/{drop}/images/{number:09}.png",
                "screens": label,
                "screens-metadata": {
                    "class-name": ("other", "promotion")[label],
                    "confidence": 0.9,
                    "type": "groundtruth/image-classification",
                    "human-annotated": "yes",
                    "creation-date": "2026-01-01T00:00:00",
                    "job-name": f"labeling-job/{drop}",
                },
                "app": f"app-{number % 500}",
                "device": f"device-{number % 20}",
                "session": f"session-{number // 10}",
                "captured-at": "2026-01-01T00:00:00Z",
            }
            stream.write(json.dumps(record) + "\n")


def know(folder: Path) -> None:
    """Leave what the jobs of a night leave in the store: facts, an index of two tiles an image, shards, features."""
    source = FolderObjects(folder, BUCKET)
    spec, snapshot = PreprocessingSpec(), current_dataset(source).source
    uri = plan_run(source, snapshot, spec, code="benchmark", features=KEY)
    plan = Plan.read(folder / uri.removeprefix(source.uri()))
    with tempfile.TemporaryDirectory() as scratch:
        parts = Parts(Mirror(source, Path(scratch)))
        for part in parts.of(snapshot, snapshot.batches(folder)):
            if part.digest not in plan.cut:
                continue
            for name in (FACTS_FILE, THUMBNAILS_FILE):
                source.put(f"{FACTS}/{INSPECTOR}/{part.digest}/{name}", b"")
            key = part_key(spec, part.digest)
            shards = [f"{key}/tiles-{number:016x}.tfrecord" for number in range(-(-len(part.files) // 512))]
            for shard in shards:
                source.put(f"{TILES}/{shard}", b"")
                source.put(f"{FEATURES}/{KEY}/{features_file(shard)}", b"")
            index = pd.DataFrame(
                {"id": np.arange(2 * len(part.files)) // 2, "shard": np.repeat(shards, 1024)[: 2 * len(part.files)]}
            )
            index["id"] = index["id"].map(lambda n: hashlib.sha256(n.to_bytes(8)).hexdigest())
            index.to_parquet(folder / TILES / key / TILES_FILE, index=False)


def main(folder: Path, drop: str, first: int, count: int) -> None:
    """Hold the part of a night that this is about, on one core where a process can choose."""
    from own_process import peak_mb

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    objects = GeneratedObjects(folder, drop, first, count)
    imported = peak_mb()
    times, peaks, began = [time.perf_counter()], [], time.process_time()

    def done():
        times.append(time.perf_counter())
        peaks.append(peak_mb())

    later = datetime.now(UTC) + timedelta(hours=1)
    told = [str(dropped) for dropped in take_in_inbox(objects, Classes.parse("other,promotion"), clock=lambda: later)]
    done()
    snapshot = current_dataset(objects)
    done()
    uri = plan_run(objects, snapshot.source, PreprocessingSpec(), code="benchmark", features=KEY)
    done()
    plan = folder / uri.removeprefix(objects.uri())
    answer = {
        "told": told,
        "batches": len(snapshot.batches),
        "described": len(Plan.read(plan).describe),
        "new_parts": len(Plan.read(plan).cut),
        "to_cut": sum(".png" in line for line in (plan / "cut.manifest").open()),
        "seconds": dict(zip(("intake", "snapshot", "plan"), (b - a for a, b in pairwise(times)), strict=True)),
        "total": times[-1] - times[0],
        "cpu": time.process_time() - began,
        "imported_mb": imported,
        "peak_mb": dict(zip(("intake", "snapshot", "plan"), peaks, strict=True)),
        "calls": objects.calls,
    }
    print(json.dumps(answer))
