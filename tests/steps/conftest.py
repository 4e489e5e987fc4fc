"""A small labelled batch, validated and tiled by the real programs, shared by the tests of the later steps."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from steps.core.common.files import sha256_file, write_text
from steps.core.dataset.plan import DATASETS, FACTS, FEATURES, INSPECTOR, TILES, Plan, Source
from steps.core.dataset.rows import digest_of
from steps.core.dataset.snapshot import Batch, Place, parts_of, snapshot_digest, write_listing, write_snapshot
from steps.core.dataset.tables import read_tiles
from steps.core.tiles.features import features_key, write_shard_features
from steps.core.tiles.shards import read_record
from steps.core.tiles.spec import PreprocessingSpec
from steps.index import __main__ as index
from steps.preprocess import __main__ as preprocess
from steps.validate import __main__ as validate

TILE_SIZE = 32
_WEIGHTS = "weights whose features are known already"
FEATURES_KEY = features_key(
    PreprocessingSpec(tile_size=TILE_SIZE), "small", hashlib.sha256(_WEIGHTS.encode()).hexdigest()
)


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
        self.features = root / "new-features"
        self.pretrained = root / "pretrained"
        write_text(self.pretrained / "stock.weights.h5", _WEIGHTS)
        self.development = root / "development"
        self.tiles = root / "tiles"
        self.cut = root / "cut"
        self.message = root / "message"

    def draw(self, count: int) -> None:
        """Draw screenshots whose red tells their number, and whose tiles (three each) tell their place in green."""
        self.plan_for([self.draw_batch(Batch("b-test", "m.manifest", "0" * 64), range(count))])

    def draw_batch(self, batch: Batch, numbers: Sequence[int]) -> Batch:
        folder = self.labelled / batch.name
        folder.mkdir(parents=True)
        lines = []
        for number in numbers:
            self.draw_one(folder / f"{number}.png", number)
            record = {"source-ref": f"{number}.png", "k": number % 2, "k-metadata": {}, "app": f"app-{number // 2}"}
            lines.append(json.dumps(record))
        (folder / batch.labels).write_text("\n".join(lines))
        return batch

    def keep(self) -> None:
        """Put what a night wrote into the store, and give the next one folders of its own."""
        kept = ((self.facts, f"{FACTS}/{INSPECTOR}"), (self.shards, TILES), (self.features, FEATURES))
        for folder, key in (pair for pair in kept if pair[0].is_dir()):
            shutil.copytree(folder, self.store / key, dirs_exist_ok=True)
            shutil.rmtree(folder)

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
        self,
        batches: list[Batch],
        *,
        known: Sequence[Batch] = (),
        listing: str = "new",
        features: str = "",
        **more: Source,
    ) -> None:
        """Write the plan of batches whose files are in place; of the `known` ones the store has facts and tiles.

        With the key `features` the new ones are to be described; else the features of all are known.
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
        describe, key = (new, features) if features else ((), FEATURES_KEY)
        Plan(source, inspect=new, cut=new, describe=describe, features=key, **more).write(self.plan)

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

    def preprocess(self, tiles: Path, shards: Path, *, workers: int = 1, hosts: int = 1, **more: object) -> int:
        """Cut what the plan says on some hosts, merge, and return the exit code of the first program that failed.

        `more` are flags of IndexTiles.
        """
        shutil.rmtree(self.cut, ignore_errors=True)
        for host, keys in enumerate(self.shares(hosts)):
            code = preprocess.main(
                self.words(images=self.images(f"host-{host}", keys), output=self.cut, workers=workers)
            )
            if code:
                return code
        return self.index(tiles, shards, **more)

    def index(self, tiles: Path, shards: Path, **more: object) -> int:
        own = {"dataset": self.dataset, "store": self.store, "cut": self.cut, "new_tiles": shards}
        own |= {"pretrained": self.pretrained, "new_features": self.features, "output": tiles}
        return index.main(self.words(**{**own, **more}))

    def describe(self) -> None:
        """Write as features what a network of one glance would say: each tile's mean red, green and blue."""
        for shard, rows in read_tiles(self.tiles).groupby("shard"):
            jpegs = [read_record(self.shards / shard, row.offset, row.length) for row in rows.itertuples()]
            means = [np.asarray(Image.open(BytesIO(jpeg))).mean((0, 1)) for jpeg in jpegs]
            write_shard_features(self.features, shard, np.array(means, np.float16))

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
    made.describe()
    return made
