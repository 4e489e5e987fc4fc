"""Planning a run: what is new to the store, found again for an identical run, and never more than is needed."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from pipelines.data.catalogue import Catalogue
from pipelines.data.snapshots import current_dataset
from pipelines.definition.settings import Settings
from pipelines.executor.store import LocalStore
from pipelines.planning.planner import plan_run
from pipelines.runs.local_start import data_here
from pipelines.storage.folder import FolderObjects
from steps.core.dataset.classes import Classes
from steps.core.dataset.plan import FACTS, FEATURES, INSPECTOR, TILES, Plan
from steps.core.dataset.snapshot import parts_of
from steps.core.tiles.cutting import CutScreenshot
from steps.core.tiles.features import write_shard_features
from steps.core.tiles.spec import PreprocessingSpec, part_key
from steps.core.tiles.store import write_part
from steps.core.tiles.tiling import Tile
from steps.validate.image_facts import Inspection, write_facts

SETTINGS = Settings()
SPEC = PreprocessingSpec(tile_size=32)


class Home:
    """A store with a catalogue, whose batches' facts and tiles are written as the steps write them."""

    def __init__(self, root):
        self.root = root
        self.store = LocalStore(root / "home" / "store")
        self.bucket = self.store.path(SETTINGS.uri())

    def add(self, name, *files, kind="labels"):
        folder = self.root / name
        folder.mkdir()
        for file in files:
            (folder / file).write_bytes(file.encode())
        if kind != "reference":
            pd.DataFrame({"path": files, "label": 1}).to_csv(folder / "l.csv", index=False)
        Catalogue(self.store, SETTINGS).add(folder, classes=Classes(), kind=kind)
        return current_dataset(data_here(self.store, SETTINGS))

    def plan(self, snapshot, **options):
        uri = plan_run(
            data_here(self.store, SETTINGS), snapshot.source, SPEC, **{"code": "c", "features": "w", **options}
        )
        return uri, Plan.read(self.store.path(uri))

    def parts(self, snapshot):
        return parts_of(snapshot.batches, lambda batch: snapshot.source.listing(self.bucket, batch))

    def know(self, snapshot, features="w"):
        for part in self.parts(snapshot):
            write_facts(
                self.bucket / FACTS / INSPECTOR / part.digest, [Inspection(i, "image", "") for _, i in part.files]
            )
            cuts = [(i, CutScreenshot((Tile(0, 0, 9, 9),), (b"jpeg",))) for _, i in part.files]
            index = write_part(self.bucket / TILES, part_key(SPEC, part.digest), cuts)
            for shard in set(index["shard"]):
                write_shard_features(self.bucket / FEATURES / features, shard, np.zeros((len(cuts), 3), np.float16))

    def objects(self, uri, step):
        head, *keys = json.loads(self.store.path(f"{uri}/{step}.manifest").read_text())
        assert head == {"prefix": "s3://tilegate-local/"}
        return keys


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def images(keys):
    return sorted(key.rsplit("/", 1)[1] for key in keys if key.endswith(".png"))


def test_everything_is_new_at_first(home):
    snapshot = home.add("first", "a.png", "b.png")
    uri, plan = home.plan(snapshot)
    (part,) = home.parts(snapshot)
    assert (plan.inspect, plan.cut) == ((part.digest,), (part.digest,))
    assert images(home.objects(uri, "validate")) == images(home.objects(uri, "cut")) == ["a.png", "b.png"]
    assert images(home.objects(uri, "index")) == []


def test_a_second_night_asks_for_new_images_only_and_for_what_is_known_of_the_others(home):
    home.know(home.add("first", "a.png", "b.png"))
    snapshot = home.add("second", "b.png", "c.png")
    uri, plan = home.plan(snapshot)
    first, second = home.parts(snapshot)
    assert plan.inspect == plan.cut == (second.digest,)
    assert images(home.objects(uri, "validate")) == images(home.objects(uri, "cut")) == ["c.png"]
    assert images(home.objects(uri, "index")) == []
    assert f"{FACTS}/{INSPECTOR}/{first.digest}/facts.parquet" in home.objects(uri, "validate")
    assert f"{TILES}/{part_key(SPEC, first.digest)}/tiles.parquet" in home.objects(uri, "index")
    assert not any(key.endswith(".tfrecord") for key in home.objects(uri, "index")), "shards are not downloaded"


def test_an_identical_run_gets_the_same_plan_although_the_store_has_learned_meanwhile(home):
    snapshot = home.add("first", "a.png")
    before = home.plan(snapshot)
    home.know(snapshot)
    assert home.plan(snapshot) == before
    assert home.plan(snapshot, code="changed")[1].inspect == ()


def test_a_plan_whose_objects_are_gone_is_made_again(home):
    snapshot = home.add("first", "a.png")
    home.know(snapshot)
    uri, plan = home.plan(snapshot)
    assert plan.cut == ()
    shutil.rmtree(home.bucket / TILES)
    again, mended = home.plan(snapshot)
    assert again == uri
    assert len(mended.cut) == 1


def test_a_part_that_lacks_a_shard_or_a_table_is_new(home):
    snapshot = home.add("first", "a.png")
    home.know(snapshot)
    next((home.bucket / TILES).rglob("*.tfrecord")).unlink()
    next((home.bucket / FACTS).rglob("thumbnails.parquet")).unlink()
    _, plan = home.plan(snapshot)
    assert len(plan.cut) == len(plan.inspect) == 1


def test_a_comparison_is_made_only_with_what_the_store_still_knows(home):
    champion = home.add("first", "a.png")
    snapshot = home.add("second", "b.png")
    _, plan = home.plan(snapshot, champion=champion.source)
    assert plan.champion is None
    home.know(champion)
    uri, plan = home.plan(snapshot, champion=champion.source, previous=champion.source)
    assert plan.champion == plan.previous == champion.source
    assert f"datasets/{champion.source.snapshot}/manifest.jsonl" in home.objects(uri, "validate")


def test_a_reference_sample_is_looked_at_and_never_cut(home):
    home.add("first", "a.png")
    snapshot = home.add("production", "p.png", kind="reference")
    uri, plan = home.plan(snapshot)
    assert len(plan.inspect) == 2
    assert images(home.objects(uri, "validate")) == ["a.png", "p.png"]
    assert images(home.objects(uri, "cut")) == ["a.png"]


def test_a_run_that_has_nothing_to_cut_gets_a_table_in_place_of_images(home):
    snapshot = home.add("first", "a.png")
    home.know(snapshot)
    uri, plan = home.plan(snapshot)
    assert plan.cut == ()
    assert home.objects(uri, "cut") == [f"datasets/{snapshot.source.snapshot}/manifest.jsonl"]


def shards(keys):
    return [key for key in keys if key.endswith(".tfrecord")]


def test_a_night_describes_its_new_parts_and_downloads_no_others_tiles(home):
    first = home.add("first", "a.png")
    _, plan = home.plan(first, features="weights")
    assert (plan.features, plan.describe) == ("weights", plan.cut)
    home.know(first, "weights")
    uri, plan = home.plan(home.add("second", "b.png"), features="weights")
    assert len(plan.describe) == 1
    assert plan.describe == plan.cut
    assert shards(home.objects(uri, "index")) == []


@pytest.mark.parametrize(("known", "weights", "new"), [("w", "w", 0), ("w", "v", 2)])
def test_other_weights_describe_all_tiles_again(home, known, weights, new):
    home.add("first", "a.png")
    snapshot = home.add("second", "b.png")
    home.know(snapshot, known)
    uri, plan = home.plan(snapshot, features=weights)
    assert (plan.cut, len(plan.describe)) == ((), new)
    there = sorted(
        f"{TILES}/{path.relative_to(home.bucket / TILES)}" for path in (home.bucket / TILES).rglob("*.tfrecord")
    )
    assert shards(home.objects(uri, "index")) == (there if new else [])


def test_a_part_that_lacks_the_features_of_a_shard_is_described_again(home):
    snapshot = home.add("first", "a.png")
    home.know(snapshot, "w")
    before, plan = home.plan(snapshot, features="w")
    assert plan.describe == ()
    next((home.bucket / FEATURES).rglob("*.npy")).unlink()
    again, plan = home.plan(snapshot, features="w")
    assert (again, len(plan.describe), plan.cut) == (before, 1, ())


def test_an_identical_run_describes_the_same_although_the_store_has_learned_meanwhile(home):
    snapshot = home.add("first", "a.png")
    before = home.plan(snapshot, features="w")
    home.know(snapshot, "w")
    assert home.plan(snapshot, features="w") == before
    assert home.plan(snapshot, features="v")[0] != before[0]


def test_of_planners_that_see_different_things_the_first_ones_plan_counts(home):
    snapshot = home.add("first", "a.png")

    class Slow(FolderObjects):
        """Another planner ends while this one writes."""

        def put(self, key, data, **options):
            if key.endswith("/plan.json"):
                home.know(snapshot)
                home.plan(snapshot)
            return super().put(key, data, **options)

    bucket = home.bucket
    uri = plan_run(Slow(bucket, bucket.name), snapshot.source, SPEC, code="c", features="w")
    assert Plan.read(home.store.path(uri)).cut == ()
    assert images(home.objects(uri, "cut")) == images(home.objects(uri, "validate")) == []


def test_the_index_of_old_tiles_is_read_once(home, monkeypatch):
    snapshot = home.add("first", "a.png")
    home.know(snapshot)
    home.plan(snapshot)
    after = home.add("second", "b.png")
    brought, download = [], FolderObjects.download

    def tell(self, key, path):
        brought.append(key)
        download(self, key, path)

    monkeypatch.setattr(FolderObjects, "download", tell)
    home.plan(after)
    assert [key for key in brought if key.startswith("tiles/")] == []
    assert sorted(key for key in brought if key.startswith("catalogue/")) == [
        f"catalogue/{batch.name}.parquet" for batch in after.batches
    ]


def test_a_damaged_index_is_cut_again(home):
    snapshot = home.add("first", "a.png")
    home.know(snapshot)
    index = next((home.bucket / TILES).rglob("tiles.parquet"))
    index.chmod(0o644)
    index.write_bytes(b"PAR1")
    assert len(home.plan(snapshot)[1].cut) == 1


def test_no_question_is_asked_for_each_old_image(home):
    class Asked(FolderObjects):
        questions = 0

        def info(self, key):
            self.questions += 1
            return super().info(key)

    snapshot = home.add("first", *(f"{number}.png" for number in range(50)))
    objects = Asked(home.bucket, home.bucket.name)
    for _ in range(2):
        plan_run(objects, snapshot.source, SPEC, code="c", features="w")
    assert objects.questions < 10
