"""A small labelled batch, validated and tiled by the real programs, shared by the tests of the later steps."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from steps.core.common.files import sha256_file
from steps.core.dataset.integrity import digest_of
from steps.core.dataset.plan import DATASETS, Plan, Source
from steps.core.dataset.snapshot import Batch, Place, parts_of, snapshot_digest, write_listing, write_snapshot
from steps.index import __main__ as index
from steps.preprocess import __main__ as preprocess
from steps.validate import __main__ as validate

TILE_SIZE = 32


class Workspace:
    """Folders as the jobs see them: a store in which nothing but the labelled data is known yet."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = root / "store"
        self.labelled = self.store / "labelled"
        self.plan = root / "plan"
        self.dataset = root / "dataset"
        self.report = root / "report"
        self.facts = root / "new-facts"
        self.shards = root / "new-tiles"
        self.development = root / "development"
        self.tiles = root / "tiles"
        self.cut = root / "cut"
        self.message = root / "message"

    def draw(self, count: int) -> None:
        """Draw screenshots whose red tells their number, and whose tiles (three each) tell their place in green."""
        batch = Batch("b-test", "m.manifest", "0" * 64)
        folder = self.labelled / batch.name
        folder.mkdir(parents=True)
        lines = []
        for number in range(count):
            self.draw_one(folder / f"{number}.png", number)
            record = {"source-ref": f"{number}.png", "k": number % 2, "k-metadata": {}, "app": f"app-{number // 2}"}
            lines.append(json.dumps(record))
        (folder / batch.labels).write_text("\n".join(lines))
        self.plan_for([batch])

    @staticmethod
    def draw_one(path: Path, number: int) -> None:
        pixels = np.zeros((120, 40, 3), np.uint8)
        pixels[..., 0] = number
        for place in range(3):
            pixels[40 * place : 40 * place + 40, :, 1] = 50 * place
        # Blocks of many blues: no two of these are nearly the same picture.
        blocks = np.random.default_rng(number).integers(0, 100, (12, 4), dtype=np.uint8)
        pixels[..., 2] = 150 * (number % 2) + np.kron(blocks, np.ones((10, 10), np.uint8))
        Image.fromarray(pixels).save(path)

    def source_of(self, batches: list[Batch]) -> Source:
        """Write the snapshot of some batches, whose listings are written already."""
        source = Source(snapshot_digest(batches))
        write_snapshot(self.store / DATASETS / source.snapshot, batches, Place())
        return source

    def plan_for(
        self, batches: list[Batch], *, known: Sequence[Batch] = (), listing: str = "new", **more: Source
    ) -> None:
        """Write the plan of batches whose files are in place; of the `known` ones the store has facts and tiles.

        With the "old" listing the files of the batches are not looked at. Digests are those of what lies there.
        """
        source = Source("")
        for batch in batches if listing == "new" else ():
            if batch in known:
                continue
            folder = self.labelled / batch.name
            files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p != folder / batch.labels]
            rows = [(p.relative_to(folder).as_posix(), sha256_file(p), p.stat().st_size) for p in files]
            frame = pd.DataFrame(rows, columns=["path", "sha256", "bytes"])
            write_listing(self.store / source.listing_key(batch), frame)
        here = [(batch, self.labelled / batch.name, source.listing(self.store, batch)) for batch in batches]
        batches = [replace(batch, sha256=digest_of(batch.labels, folder, rows)) for batch, folder, rows in here]
        source = self.source_of(batches)
        done = {batch.name for batch in known}
        parts = parts_of(batches, lambda batch: source.listing(self.store, batch))
        new = tuple(part.digest for part in parts if part.batch not in done)
        Plan(source, inspect=new, cut=new, **more).write(self.plan)

    def validate(self, *more: str) -> int:
        words = {
            "--plan": self.plan,
            "--store": self.store,
            "--output": self.dataset,
            "--development": self.development,
            "--report": self.report,
            "--new-facts": self.facts,
            "--message": self.message,
            "--workers": 1,
        }
        return validate.main([*(str(word) for pair in words.items() for word in pair), *more])

    def preprocess(self, tiles: Path, shards: Path, *, workers: int = 1, hosts: int = 1) -> int:
        """Cut what the plan says on some hosts, merge, and return the exit code of the first program that failed."""
        shutil.rmtree(self.cut, ignore_errors=True)
        for host, keys in enumerate(self.shares(hosts)):
            code = preprocess.main(
                self.words(images=self.images(f"host-{host}", keys), output=self.cut, workers=workers)
            )
            if code:
                return code
        return self.index(tiles, shards)

    def index(self, tiles: Path, shards: Path) -> int:
        own = {"dataset": self.dataset, "store": self.store, "cut": self.cut, "new_tiles": shards}
        return index.main(self.words(**own, output=tiles))

    def words(self, **flags: object) -> list[str]:
        flags = {"plan": self.plan, "message": self.message, "tile_size": TILE_SIZE, **flags}
        return [str(word) for name, value in flags.items() for word in (f"--{name.replace('_', '-')}", value)]

    def shares(self, hosts: int) -> list[list[str]]:
        """Share out what is to be cut, as ShardedByS3Key does: the images' keys in turn."""
        plan = Plan.read(self.plan)
        parts = parts_of(plan.source.batches(self.store), lambda batch: plan.source.listing(self.store, batch))
        new = [part for part in parts if part.digest in plan.cut]
        keys = sorted(plan.source.file_key(part.batch, path) for part in new for path, _ in part.files)
        return [keys[host::hosts] for host in range(hosts)]

    def images(self, name: str, keys: Sequence[str]) -> Path:
        """Bring images to a host; with none its folder does not exist."""
        folder = self.root / "hosts" / name
        shutil.rmtree(folder, ignore_errors=True)
        for key in keys:
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.store / key, folder / key)
        return folder


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    """Sixty screenshots of thirty apps: both classes in every split."""
    made = Workspace(tmp_path_factory.mktemp("workspace"))
    made.draw(60)
    assert made.validate() == 0
    assert made.preprocess(made.tiles, made.shards) == 0
    return made
