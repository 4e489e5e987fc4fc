"""IndexTiles with pretrained weights: each tile is described once, in words that are the network's own."""

import functools
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from steps.core.common.files import sha256_file
from steps.core.dataset.plan import FEATURES, TILES, Plan
from steps.core.dataset.snapshot import Batch
from steps.core.dataset.splits import Split
from steps.core.dataset.tables import read_tiles
from steps.core.tiles.features import features_key, read_features
from steps.core.tiles.spec import PreprocessingSpec
from steps.network.runtime import start_tensorflow
from tests.steps.conftest import TILE_SIZE, Workspace

start_tensorflow()

import tf_keras as keras  # noqa: E402

from steps.index import describe  # noqa: E402
from steps.network.backbone import FEATURES as FEATURES_LAYER  # noqa: E402
from steps.network.backbone import build_model  # noqa: E402
from steps.network.tile_input import TileSource  # noqa: E402

pytestmark = pytest.mark.integration

FIRST, LATER = (Batch(f"b-test-{number}", "m.manifest", str(number) * 64) for number in (1, 2))


class Night:
    """A workspace of two batches, and the steps on them with pretrained weights."""

    def __init__(self, root, weights):
        self.made, self.weights = Workspace(root), weights
        self.key = key_of(weights)

    def draw(self):
        self.made.draw_batch(FIRST, range(60))
        self.made.draw_batch(LATER, range(60, 70))

    def hold(self, *batches, known=()):
        """Return the exit code of a night on some batches."""
        made = self.made
        made.plan_for(batches, known=known, features=self.key)
        assert made.validate() == 0
        return made.preprocess(made.tiles, made.shards, pretrained=self.weights.parent)

    def written(self):
        return {path.relative_to(self.made.features).as_posix() for path in self.made.features.rglob("*.npy")}

    def listed(self):
        head, *files = json.loads((self.made.tiles / "features.manifest").read_text())
        assert head == {"prefix": f"s3://tilegate-local/features/{self.key}/"}
        return files

    def files(self, tiles):
        """Return where the features of all shards in a folder belong."""
        shards = (path.relative_to(tiles).with_suffix(".npy").as_posix() for path in tiles.rglob("*.tfrecord"))
        return sorted(shards)


def key_of(weights):
    return features_key(PreprocessingSpec(tile_size=TILE_SIZE), "small", sha256_file(weights))


def weights_in(folder, seed):
    keras.utils.set_random_seed(seed)
    stock = keras.applications.MobileNetV3Small(
        input_shape=(TILE_SIZE, TILE_SIZE, 3), weights=None, include_top=False, pooling="avg"
    )
    folder.mkdir()
    stock.save_weights(folder / "stock.weights.h5")
    return folder / "stock.weights.h5"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return weights_in(tmp_path_factory.mktemp("weights") / "small", 1)


@pytest.fixture(scope="module", autouse=True)
def _built_once():
    """Building a backbone takes seconds, and is the same for every test of the same weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(describe, "FrozenBackbone", functools.cache(describe.FrozenBackbone))
        yield


@pytest.fixture(scope="module")
def other_weights(tmp_path_factory):
    return weights_in(tmp_path_factory.mktemp("other") / "small", 2)


@pytest.fixture(scope="module")
def held(tmp_path_factory, weights):
    """A first night, as its jobs leave it."""
    night = Night(tmp_path_factory.mktemp("night"), weights)
    night.draw()
    assert night.hold(FIRST) == 0
    return night


@pytest.fixture
def night(held, tmp_path):
    """A copy of the first night."""
    shutil.copytree(held.made.root, tmp_path / "night")
    return Night(tmp_path / "night", held.weights)


def test_a_second_night_describes_new_tiles_only_and_all_features_are_the_networks_output(night, capsys):
    first = night.files(night.made.shards)
    assert night.written() == {f"{night.key}/{file}" for file in first}
    night.made.keep()
    assert night.hold(FIRST, LATER, known=[FIRST]) == 0
    assert "Described 10/10 screenshots" in capsys.readouterr().out
    second = night.files(night.made.shards)
    assert night.written() == {f"{night.key}/{file}" for file in second}
    assert night.listed() == sorted([*first, *second])

    night.made.keep()
    source = TileSource(night.made.tiles, night.made.store / TILES, night.made.dataset, tuple(Split))
    rows = source.frame.sample(frac=1, random_state=0).reset_index(drop=True)
    whole = build_model("small", TILE_SIZE, pretrained=night.weights)
    network = keras.Model(whole.input, whole.get_layer(FEATURES_LAYER).output)
    wanted = np.empty((len(rows), 784), np.float32)
    for at, pixels in source.batches(rows, 100):
        wanted[at.numpy()] = network(pixels.numpy().astype(np.float32), training=False)
    found = read_features(night.made.store / FEATURES / night.key, rows)
    assert (found.dtype, found.shape) == (np.float16, (70 * 4, 784))
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=1e-5)
    assert len(np.unique(found, axis=0)) > 70


def test_other_weights_describe_the_tiles_in_the_store_and_cut_none(night, other_weights):
    night.made.keep()
    other = other_weights
    old = Plan.read(night.made.plan)
    replace(old, cut=(), describe=old.cut, features=key_of(other)).write(night.made.plan)
    assert night.made.index(night.made.tiles, night.made.shards, pretrained=other.parent) == 0
    assert not night.made.shards.exists()
    assert night.written() == {f"{key_of(other)}/{file}" for file in night.files(night.made.store / TILES)}
    tiles = read_tiles(night.made.tiles)
    folders = (night.made.store / FEATURES / night.key, night.made.features / key_of(other))
    before, after = (read_features(folder, tiles) for folder in folders)
    assert (before != after).any(axis=1).all()


def test_weights_other_than_the_plans_are_refused_before_any_work(night, other_weights, tmp_path, capsys):
    assert night.made.index(tmp_path / "again", tmp_path / "none", pretrained=other_weights.parent) == 1
    said = capsys.readouterr().err
    assert f"the run was planned for features {night.key}" in said
    assert key_of(other_weights) in said
    assert not (tmp_path / "none").exists()


def test_a_shard_that_is_damaged_or_lacks_a_record_is_named(night, capsys):
    night.made.keep()
    old = Plan.read(night.made.plan)
    replace(old, cut=()).write(night.made.plan)
    (shard,) = (night.made.store / TILES).rglob("*.tfrecord")
    whole = shard.read_bytes()
    last = read_tiles(night.made.tiles)["offset"].max() - 12
    for data, told in ((whole[:-9], "cannot be read"), (whole[:last], "holds 239 tiles, and its index names 240")):
        shard.write_bytes(data)
        assert night.made.index(night.made.tiles, night.made.shards, pretrained=night.weights.parent) == 1
        said = capsys.readouterr().err
        assert shard.name in said
        assert told in said
        assert night.written() == set()
