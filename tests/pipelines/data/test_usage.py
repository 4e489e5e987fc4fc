"""What garbage collection keeps: parts of any snapshot or of the catalogue, shards of any run, and what is unclear."""

import json

import pytest

from pipelines.data.catalogue import Catalogue
from pipelines.data.garbage import orphans, part_is_used, shards_of_runs
from pipelines.data.snapshots import current_dataset
from pipelines.definition.settings import Settings
from pipelines.executor.store import LocalStore
from pipelines.runs.local_start import data_here, snapshot_of
from steps.core.common.errors import UserError
from steps.core.dataset.classes import Classes
from steps.core.dataset.plan import INSPECTOR
from steps.core.dataset.snapshot import AD_HOC, parts_of
from steps.core.tiles.store import CutScreenshot, write_part
from steps.core.tiles.tiling import plan_tiles

SETTINGS = Settings()
CLASSES = Classes()


@pytest.fixture
def catalogue(tmp_path):
    return Catalogue(LocalStore(tmp_path / "home" / "store"), SETTINGS)


def labelled(folder, *names):
    """A folder with labels.csv and a file of its own bytes for each name."""
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(name.encode())
    (folder / "labels.csv").write_text("path,label\n" + "".join(f"{name},1\n" for name in names))
    return folder


def add(catalogue, folder, *names):
    """Add a batch and return the digests of all parts that the catalogue then has."""
    catalogue.add(labelled(folder, *names), classes=CLASSES)
    return [part.digest for part in parts_of(catalogue.batches(), lambda batch: catalogue.listing(batch.name))]


def put(catalogue, *keys):
    for key in keys:
        path = catalogue.store.path(SETTINGS.uri(key))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def facts(catalogue, version, part):
    put(catalogue, f"facts/{version}/{part}/facts.parquet", f"facts/{version}/{part}/thumbnails.parquet")


def tiles(catalogue, part):
    """Write a part of the tile store with one shard and return the shard's key."""
    store = catalogue.store.path(SETTINGS.uri("tiles"))
    cuts = [("a" * 64, CutScreenshot(plan_tiles(4, 4), (b"overview", b"tile")))]
    return write_part(store, f"spec/{part}", cuts)["shard"].iloc[0]


def collected(catalogue):
    """What the garbage collection would remove: the reason by the key."""
    found = orphans(catalogue, part_is_used(catalogue), kept=shards_of_runs(catalogue), min_age_seconds=0)
    return {orphan.uri.removeprefix(SETTINGS.uri() + "/"): orphan.why for orphan in found}


def test_parts_of_the_catalogue_stay_and_others_go(catalogue, tmp_path):
    part = add(catalogue, tmp_path / "data", "a.png")[0]
    facts(catalogue, INSPECTOR, part)
    facts(catalogue, INSPECTOR, "of-nothing")
    tiles(catalogue, part)
    tiles(catalogue, "of-nothing")
    assert collected(catalogue) == {
        f"facts/{INSPECTOR}/of-nothing": "a part that nothing uses",
        "tiles/spec/of-nothing": "a part that nothing uses",
    }


def test_facts_of_another_version_of_the_inspector_go(catalogue, tmp_path):
    part = add(catalogue, tmp_path / "data", "a.png")[0]
    facts(catalogue, "another", part)
    assert collected(catalogue) == {f"facts/another/{part}": "a part that nothing uses"}


def test_parts_of_a_snapshot_stay_that_the_catalogue_no_longer_has(catalogue, tmp_path):
    snapshot = snapshot_of(labelled(tmp_path / "data", "a.png"), catalogue.store, SETTINGS, CLASSES)
    bucket = catalogue.store.path(SETTINGS.uri())
    source = snapshot.source
    part = parts_of(snapshot.batches, lambda batch: source.listing(bucket, batch))[0].digest
    facts(catalogue, INSPECTOR, part)
    tiles(catalogue, part)
    assert collected(catalogue) == {}


def test_parts_of_earlier_states_of_the_catalogue_are_those_of_the_present_one(catalogue, tmp_path):
    first = add(catalogue, tmp_path / "one", "a.png")
    current_dataset(data_here(catalogue.store, SETTINGS))
    both = add(catalogue, tmp_path / "two", "a.png", "b.png")
    assert both[0] == first[0]
    for part in both:
        facts(catalogue, INSPECTOR, part)
    assert collected(catalogue) == {}


def test_shards_that_a_run_names_stay_with_their_part(catalogue):
    named, other = tiles(catalogue, "of-a-run"), tiles(catalogue, "of-nothing")
    index = catalogue.store.path(SETTINGS.uri("tiles/spec/of-a-run/tiles.parquet"))
    put(catalogue, "tiles/spec/of-a-run/tiles-unnamed.tfrecord")
    manifest = json.dumps([{"prefix": SETTINGS.uri("tiles/")}, named]).encode()
    catalogue.store.put_bytes(manifest, SETTINGS.uri("runs/r1/IndexTiles/tiles/shards.manifest"))
    found = collected(catalogue)
    assert found == {
        f"tiles/{other.rpartition('/')[0]}": "a part that nothing uses",
        "tiles/spec/of-a-run/tiles-unnamed.tfrecord": "a shard that no index names",
    }
    index.unlink()
    assert "tiles/spec/of-a-run" not in collected(catalogue)


def test_features_go_after_the_tiles_that_they_describe(catalogue, tmp_path):
    part = add(catalogue, tmp_path / "data", "a.png")[0]
    used, unused, named = (
        tiles(catalogue, name).removesuffix(".tfrecord") for name in (part, "of-nothing", "of-a-run")
    )
    manifest = json.dumps([{"prefix": SETTINGS.uri("tiles/")}, f"{named}.tfrecord"]).encode()
    catalogue.store.put_bytes(manifest, SETTINGS.uri("runs/r1/IndexTiles/tiles/shards.manifest"))
    put(catalogue, "features/none.json", *(f"features/key/{shard}.npy" for shard in (used, unused, named)))
    put(catalogue, f"features/key/spec/{part}/gone.npy", "features/key/spec/gone/tiles.npy")
    tile_part = f"tiles/{unused.rpartition('/')[0]}"
    assert collected(catalogue) == {
        tile_part: "a part that nothing uses",
        "features/key/spec/of-nothing": "features of tiles that are gone or that nothing uses",
        "features/key/spec/gone": "features of tiles that are gone or that nothing uses",
        f"features/key/spec/{part}/gone.npy": "features of a shard that is gone",
    }


def test_an_ad_hoc_batch_without_a_listing_goes(catalogue, tmp_path):
    snapshot_of(labelled(tmp_path / "data", "a.png"), catalogue.store, SETTINGS, CLASSES)
    put(catalogue, f"{AD_HOC.labelled}/killed/a.png")
    assert collected(catalogue) == {f"{AD_HOC.labelled}/killed": "a batch without a listing"}


def test_ad_hoc_batches_lie_where_the_collection_looks_for_them(catalogue, tmp_path):
    snapshot = snapshot_of(labelled(tmp_path / "data", "a.png"), catalogue.store, SETTINGS, CLASSES)
    assert snapshot.source.place == AD_HOC


@pytest.mark.parametrize(
    "key",
    ["datasets/{digest}/manifest.jsonl", "datasets/{digest}/place.json", "ad-hoc/catalogue/{batch}.parquet"],
)
def test_nothing_goes_while_a_snapshot_cannot_be_read(catalogue, tmp_path, key):
    snapshot = snapshot_of(labelled(tmp_path / "data", "a.png"), catalogue.store, SETTINGS, CLASSES)
    key = key.format(digest=snapshot.source.snapshot, batch=snapshot.batches[0].name)
    facts(catalogue, INSPECTOR, "of-nothing")
    catalogue.store.put_bytes(b"{", SETTINGS.uri(key))
    with pytest.raises(UserError):
        collected(catalogue)


def test_nothing_goes_while_a_runs_list_of_shards_cannot_be_read(catalogue):
    uri = SETTINGS.uri("runs/r1/IndexTiles/tiles/shards.manifest")
    for content in (b"not json", b"{}", b"1"):
        catalogue.store.put_bytes(content, uri)
        with pytest.raises(UserError):
            collected(catalogue)
