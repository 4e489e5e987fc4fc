"""Reading tiles: each with its own row, screenshots whole and in order, and features where their tile is."""

import numpy as np
import pandas as pd
import pytest

from steps.core.common.errors import UserError
from steps.core.dataset.splits import DEVELOPMENT, Split
from steps.network.head import Head
from steps.network.runtime import start_tensorflow
from steps.train.hyperparameters import Hyperparameters
from tests.steps.conftest import TILE_SIZE

start_tensorflow()

import tensorflow as tf  # noqa: E402
import tf_keras as keras  # noqa: E402

from steps.network.tile_input import TileSource, decode, describer, logits_of, screenshot_codes  # noqa: E402
from steps.train.phase2 import training_batches  # noqa: E402

pytestmark = pytest.mark.integration

# The squares' greens are 0, 50 and 100; the overview's is their mean.
GREENS = np.array([50, 0, 50, 100])


@pytest.fixture(scope="module")
def source(workspace):
    return TileSource(workspace.tiles, workspace.shards, workspace.development, DEVELOPMENT)


def numbers(rows):
    return rows["uri"].str.extract(r"/(\d+)\.png")[0].astype(int).to_numpy()


def means(tiles):
    return np.asarray(tiles).astype(float).mean((-3, -2))


def test_pixels_come_with_the_position_of_their_row(source):
    for split in DEVELOPMENT:
        rows = source.rows(split)
        seen = []
        for at, pixels in source.batches(rows, 5).as_numpy_iterator():
            found = means(pixels)
            assert np.abs(found[:, 0] - numbers(rows)[at]).max() < 4
            assert np.abs(found[:, 1] - GREENS[rows["index"].to_numpy()[at]]).max() < 4
            seen += at.tolist()
        assert sorted(seen) == list(range(len(rows)))


def test_a_bag_is_one_whole_screenshot_in_the_order_of_its_tiles(source):
    for split in DEVELOPMENT:
        rows = source.rows(split)
        first = rows.drop_duplicates("id")
        seen = []
        for code, bag in source.bags(rows):
            found = means([decode(data, TILE_SIZE).numpy() for data in bag])
            assert found[:, 1] == pytest.approx(GREENS, abs=4)
            assert np.abs(found[:, 0] - numbers(first)[int(code)]).max() < 4
            seen.append(int(code))
        assert sorted(seen) == list(range(len(first)))


def test_bags_of_a_part_of_a_split_are_those_screenshots_only(source):
    rows = source.rows(Split.TRAIN)
    some = rows[rows["id"].isin(rows["id"].unique()[3:6])].reset_index(drop=True)
    wanted = numbers(some.drop_duplicates("id"))
    found = {int(code): means(decode(bag[0], TILE_SIZE).numpy())[0] for code, bag in source.bags(some)}
    assert [found[code] for code in range(3)] == pytest.approx(wanted, abs=4)


def test_codes_number_the_screenshots_as_they_lie(source):
    rows = source.rows(Split.TRAIN)
    codes = screenshot_codes(rows)
    assert codes.dtype == np.int64
    assert (rows["id"].unique()[codes] == rows["id"]).all()
    assert screenshot_codes(rows.iloc[:0]).tolist() == []
    assert screenshot_codes(rows.iloc[:1]).tolist() == [0]


def test_training_batches_hold_every_screenshot_once_with_its_own_label_and_weight(source):
    rows = source.rows(Split.TRAIN)
    first = rows.drop_duplicates("id").reset_index(drop=True)
    reds, counted = numbers(first), np.arange(len(first)) + 1.0
    batches = training_batches(source, rows, counted, Hyperparameters(batch_size=7))
    orders = []
    for _ in range(2):
        seen = []
        for (tiles, counts), labels, weights in batches:
            assert tiles.dtype == tf.uint8
            assert counts.numpy().tolist() == [4] * len(weights)
            codes = weights.numpy().astype(int) - 1
            found = means(tiles)
            assert np.abs(found[..., 0] - reds[codes][:, None]).max() < 4
            assert np.abs(found[..., 1] - GREENS).max() < 4
            assert labels.numpy()[:, 0].tolist() == first["label"][codes].tolist()
            seen += codes.tolist()
        assert sorted(seen) == list(range(len(first)))
        orders.append(seen)
    assert orders[0] != orders[1]


def test_shorter_screenshots_are_filled_up_and_very_long_ones_are_looked_at_in_parts():
    """Screenshots of 2, 5 and 15 tiles that tell their place: at most nine a time, the overview always first."""

    class Stub:
        spec = type("Spec", (), {"tile_size": TILE_SIZE})

        @staticmethod
        def bags(_rows):
            def made():
                for code, count in enumerate((2, 5, 15)):
                    blank = np.ones((TILE_SIZE, TILE_SIZE, 3), np.uint8)
                    bag = [tf.io.encode_jpeg(blank * (10 * place + 1), quality=100).numpy() for place in range(count)]
                    yield code, np.array(bag, object)

            signature = (tf.TensorSpec((), tf.int64), tf.TensorSpec((None,), tf.string))
            return tf.data.Dataset.from_generator(made, output_signature=signature)

    rows = pd.DataFrame({"id": list("abc"), "label": [0, 1, 0]})
    batches = training_batches(Stub(), rows, np.arange(3.0), Hyperparameters(batch_size=3))
    chosen = set()
    for _ in range(5):
        (((tiles, counts), _, weights),) = list(batches)
        order = np.argsort(weights.numpy())
        assert counts.numpy()[order].tolist() == [2, 5, 9]
        places = np.round((means(tiles)[order, :, 0] - 1) / 10, 1)
        assert places[0].tolist() == [0, 1] + [-0.1] * 7
        assert places[1].tolist() == [0, 1, 2, 3, 4] + [-0.1] * 4
        assert places[2][0] == 0
        assert (np.diff(places[2]) > 0).all()
        chosen.add(tuple(places[2]))
    assert len(chosen) > 1


def colours():
    """A model that says a tile's mean colours."""
    inputs = keras.layers.Input((TILE_SIZE, TILE_SIZE, 3))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))


def test_features_stand_where_their_tile_does(source):
    rows = source.rows(Split.VALIDATION)
    describe = describer(colours())
    found = describe(source, rows)
    assert found.shape == (len(rows), 3)
    assert np.abs(found[:, 0] - numbers(rows)).max() < 4
    assert np.abs(found[:, 1] - GREENS[rows["index"]]).max() < 4
    assert (describe(source, rows.iloc[::-1].reset_index(drop=True)) == found[::-1]).all()


def test_logits_are_those_of_the_head_shard_by_shard(source):
    rows, describe = source.rows(Split.TRAIN), describer(colours())
    head = Head.of(np.arange(9) / 100, -1.0)
    wanted = head.logits(describe(source, rows), rows["index"].to_numpy(), screenshot_codes(rows))
    assert logits_of(head, describe, source, rows) == pytest.approx(wanted)
    several = rows.assign(shard=np.where(screenshot_codes(rows) % 2, "other", rows["shard"]))
    taken = lambda _, part: describe(source, part.assign(shard=rows["shard"].iloc[0]))  # noqa: E731
    assert logits_of(head, taken, source, several) == pytest.approx(wanted)


def test_a_split_that_is_not_in_the_table_cannot_be_read(workspace):
    with pytest.raises(UserError, match="no tile belongs"):
        TileSource(workspace.tiles, workspace.shards, workspace.development, [Split.TEST])
