"""What reading, decoding and altering tiles costs beside a training step, and beside Keras's folder of pictures.

Run with: pytest tests/benchmarks/test_training_input.py -m benchmark -s
See `tests/benchmarks/screenshots.py` for the data. CPU seconds of this process, all its threads; ways take turns, and
the median of the repeats counts. A tile and a resized screenshot are each one image.
"""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from steps.network.head import Head
from steps.network.runtime import start_tensorflow
from steps.train.hyperparameters import Hyperparameters
from tests.benchmarks.screenshots import screenshots

start_tensorflow()

import tensorflow as tf  # noqa: E402
import tf_keras as keras  # noqa: E402

from steps.network.backbone import block_names, build_model, unfreeze  # noqa: E402
from steps.train.augmentation import augment  # noqa: E402
from steps.train.phase2 import BagModel, training_batches  # noqa: E402
from tests.benchmarks.recipes import tile_source  # noqa: E402

pytestmark = [pytest.mark.benchmark, pytest.mark.filterwarnings("ignore::UserWarning")]
STEPS = 3
SETTINGS = Hyperparameters()


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """One round of something, and how many images it handles."""

    run: Any
    images: int


def reading(batches):
    def run():
        for _ in batches:
            pass

    return run


def batches_of(source):
    """Return the batches that phase 2 sees."""
    return training_batches(source, source.frame, np.ones(source.frame["id"].nunique()), SETTINGS)


def with_augmentation(batches):
    """Return the batches altered as `BagModel` does it before the network, in a graph as there."""

    def altered(inputs, _labels, _weights):
        tiles, counts = inputs
        present = tf.sequence_mask(counts, tf.shape(tiles)[1])
        flat = tf.ensure_shape(tf.boolean_mask(tf.cast(tiles, tf.float32), present), (None, *tiles.shape[2:]))
        return augment(flat, tf.where(present)[:, 0], SETTINGS.augment, tf.stack([17, counts[0]]))

    return batches.map(altered)


def stepping(weights, blocks, batch):
    """Return a few training steps on one batch in memory, of the last `blocks` blocks; no augmentation."""
    (tiles, counts), labels, counted = batch
    backbone = build_model("small", tiles.shape[2], pretrained=weights)
    unfreeze(backbone, min(blocks, len(block_names(backbone))))
    model = BagModel(backbone, Head.of(np.zeros(3 * backbone.output_shape[-1]), 0.0), 0.0)
    model.compile(keras.optimizers.Adam(1e-5), keras.losses.BinaryCrossentropy(from_logits=True))

    def run():
        for _ in range(STEPS):
            model.train_on_batch((tiles, counts), labels, counted)

    return Way(run, STEPS * int(counts.numpy().sum()))


def folder_of_tiles(source, folder: Path):
    """Write the stored tiles as files, as they are, a folder a class."""
    for name in ("0", "1"):
        (folder / name).mkdir(parents=True)
    labels = source.frame["label"].to_numpy()
    for at, data in source.read(source.frame):
        (folder / str(labels[at]) / f"{at.numpy():05d}.jpg").write_bytes(data.numpy())
    return folder


def folder_of_screenshots(labels: Path, folder: Path):
    """Link the original screenshots, a folder a class."""
    for name in ("0", "1"):
        (folder / name).mkdir(parents=True)
    for label, path in pd.read_csv(labels)[["label", "path"]].itertuples(index=False):
        given = labels.parent / path
        (folder / str(label) / given.name).symlink_to(given)
    return folder


def keras_folder(folder: Path, size: int):
    read = keras.utils.image_dataset_from_directory(
        folder, image_size=(size, size), batch_size=32, shuffle=True, seed=17
    )
    return Way(reading(read.prefetch(2)), len(read.file_paths))


def measured(ways, rounds):
    """Return for each way the medians of (CPU, wall) seconds an image, the ways taking turns; round -1 warms up."""
    spent = {name: [] for name in ways}
    for turn in rounds:
        for name, way in ways.items():
            cpu, wall = time.process_time(), time.perf_counter()
            way.run()
            if turn >= 0:
                spent[name].append(
                    ((time.process_time() - cpu) / way.images, (time.perf_counter() - wall) / way.images)
                )
    return {name: tuple(map(statistics.median, zip(*each, strict=True))) for name, each in spent.items()}


@pytest.mark.parametrize("size", [96, 224])
def test_input_beside_the_training_step_and_keras(size, tmp_path, sizes, figures, network):
    """Prints images a second and ratios; asserts that every way handled what it should."""
    cv2.setNumThreads(1)
    if size not in sizes(full=(96, 224), smoke=(96,)):
        pytest.skip("one size is enough for a smoke")
    sample, most, rounds = sizes(full=(40, 120, range(-1, 5)), smoke=(10, 10, range(1)))
    steps = sizes(full={"step of 4 blocks": 4, "step of all blocks": 99}, smoke={"step of all blocks": 99})
    data = screenshots(tmp_path, sample=sample)
    chosen = data.some(tmp_path, most)
    source = tile_source(chosen, tmp_path, size)
    tiles = int(np.minimum(source.frame.drop_duplicates("id")["count"], 9).sum())
    batches = batches_of(source)
    assert sum(int(counts.numpy().sum()) for (_, counts), _, _ in batches) == tiles
    batch = next(iter(batches))
    ways = {
        "our input": Way(reading(batches), tiles),
        "our input, altered": Way(reading(with_augmentation(batches)), tiles),
        "Keras, folder of tiles": keras_folder(folder_of_tiles(source, tmp_path / "tiles"), size),
        "Keras, folder of screenshots": keras_folder(folder_of_screenshots(chosen, tmp_path / "screens"), size),
        **{name: stepping(data.weights, blocks, batch) for name, blocks in steps.items()},
    }
    found = measured(ways, rounds)
    print(f"\nSmall, {size} px, {source.frame['id'].nunique()} screenshots, {tiles} tiles")
    print("| way | images a CPU second | images a second |" + "".join(f" of a {name} |" for name in steps))
    print("|---" * (3 + len(steps)) + "|")
    for name, (cpu, wall) in found.items():
        print(f"| {name} | {1 / cpu:.0f} | {1 / wall:.0f} |" + "".join(f" {cpu / found[x][0]:.1%} |" for x in steps))
    for name in ("Keras, folder of tiles", "Keras, folder of screenshots"):
        print(f"{name} / our input: {found[name][0] / found['our input'][0]:.2f} CPU seconds an image")
    assert all(way.images > 0 for way in ways.values())
    if not data.real and len(steps) > 1:
        step = found["step of 4 blocks"][0]
        figures.record(f"training input: {size} px to a step of 4 blocks", found["our input"][0], beside=step)
        figures.record(f"training input: 1,000 tiles of {size} px in steps of 4 blocks", 1000 * step)
