"""Reading tiles: each with its own row, screenshots whole and in order, and evidence where its tile is."""

import numpy as np
import pytest

from steps.core.common.errors import UserError
from steps.core.dataset.splits import DEVELOPMENT, Split
from steps.network.reducer import Reducer
from steps.network.runtime import start_tensorflow
from steps.train.hyperparameters import Hyperparameters
from tests.steps.conftest import TILE_SIZE

start_tensorflow()

import tensorflow as tf  # noqa: E402
import tf_keras as keras  # noqa: E402

from steps.network.tile_input import TileSource, decode, screenshot_codes, tile_evidence  # noqa: E402
from steps.train.fit import Examples, training_batches  # noqa: E402

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


def test_training_batches_hold_every_screenshot_once_with_its_own_code(source):
    rows = source.rows(Split.TRAIN)
    first = numbers(rows.drop_duplicates("id"))
    examples = Examples(source, rows, Reducer(), Hyperparameters(batch_size=7))
    batches = training_batches(examples)
    seen = []
    for codes, ((counts, tiles),) in batches:
        assert tiles.dtype == tf.uint8
        assert counts.numpy().tolist() == [4] * len(codes)
        found = means(tiles)
        assert np.abs(found[..., 0] - first[codes.numpy()][:, None]).max() < 4
        assert np.abs(found[..., 1] - GREENS).max() < 4
        seen += codes.numpy().tolist()
    assert sorted(seen) == list(range(len(first)))
    assert seen != sorted(seen)
    assert [code for codes, _ in batches for code in codes.numpy().tolist()] == seen
    later = [code for codes, _ in training_batches(examples, 2) for code in codes.numpy().tolist()]
    assert sorted(later) == sorted(seen)
    assert later != seen


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

    examples = Examples(Stub(), None, Reducer(), Hyperparameters(batch_size=3))
    chosen = set()
    for epoch in range(1, 6):
        ((codes, ((counts, tiles),)),) = list(training_batches(examples, epoch))
        counts = dict(zip(codes.numpy().tolist(), counts.numpy().tolist(), strict=True))
        places = dict(zip(codes.numpy().tolist(), np.round((means(tiles)[..., 0] - 1) / 10, 1), strict=True))
        assert counts == {0: 2, 1: 5, 2: 9}
        assert places[0].tolist() == [0, 1] + [-0.1] * 7
        assert places[1].tolist() == [0, 1, 2, 3, 4] + [-0.1] * 4
        assert places[2][0] == 0
        assert (np.diff(places[2]) > 0).all()
        chosen.add(tuple(places[2]))
    assert len(chosen) > 1


def test_evidence_stands_where_its_tile_does(source):
    """A model that says a tile's mean colours, held against the rows that it was asked for."""
    inputs = keras.layers.Input((TILE_SIZE, TILE_SIZE, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    rows = source.rows(Split.VALIDATION)
    found = tile_evidence(model, source, rows, batch=3)
    assert found.shape == (len(rows), 3)
    assert np.abs(found[:, 0] - numbers(rows)).max() < 4
    assert np.abs(found[:, 1] - GREENS[rows["index"]]).max() < 4
    backwards = rows.iloc[::-1].reset_index(drop=True)
    assert (tile_evidence(model, source, backwards) == found[::-1]).all()


def test_a_split_that_is_not_in_the_table_cannot_be_read(workspace):
    with pytest.raises(UserError, match="no tile belongs"):
        TileSource(workspace.tiles, workspace.shards, workspace.development, [Split.TEST])
