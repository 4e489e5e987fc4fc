"""Make the small backbone that the sample starts from: `python tests/make_sample_backbone.py OUT.weights.h5`.

MobileNetV3Small from random weights on screens of other seeds than the sample's own, so that a first run, which knows
no ImageNet, has features to begin with. It takes about half an hour on two cores. Weights are kept as 16-bit floats.
"""

import argparse
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from pipelines.runs.sample_data import MANIFEST, write_sample
from steps.core.common.files import sha256_file
from steps.core.common.worker_pool import map_in_processes
from steps.core.dataset.splits import Split
from steps.core.tiles.cutting import cut
from steps.core.tiles.spec import PreprocessingSpec
from steps.core.tiles.store import write_index, write_part
from steps.network.runtime import start_tensorflow

SIZE, BATCH, RATE = 96, 32, 3e-3


def drawn(folder: Path, seeds: range, screenshots: int) -> pd.DataFrame:
    """Draw the samples of some seeds; return path, sha256, label and group of each screenshot."""
    frames = []
    for seed in seeds:
        batch = write_sample(folder / str(seed), screenshots=screenshots, seed=seed)
        frame = pd.read_json(batch / MANIFEST, lines=True)
        paths = [batch / name for name in frame["source-ref"]]
        frames.append(
            pd.DataFrame(
                {
                    "path": paths,
                    "id": [sha256_file(path) for path in paths],
                    "label": frame["promotion"],
                    "group": frame["group"] + f"-{seed}",
                }
            )
        )
    return pd.concat(frames).drop_duplicates("id").sort_values("id", ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--screenshots", type=int, default=1200, help="of each seed")
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    start_tensorflow()
    import tf_keras as keras

    from steps.network.backbone import build_model
    from steps.network.head import Head
    from steps.network.tile_input import TileSource
    from steps.train.hyperparameters import Hyperparameters
    from steps.train.phase2 import BagModel, training_batches

    keras.utils.set_random_seed(17)
    with tempfile.TemporaryDirectory() as name:
        folder, spec = Path(name), PreprocessingSpec(tile_size=SIZE)
        table = drawn(folder / "samples", range(101, 101 + args.seeds), args.screenshots)
        cuts = map_in_processes(partial(cut, spec=spec), list(table["path"]), 2)
        index = write_part(folder / "store", "part", zip(table["id"], cuts, strict=True))
        write_index(folder, index, spec, "s3://sample/tiles")
        columns = {"uri": "", "batch": "b", "row": 0, "split": "train", "cluster": "", "width": 1, "height": 1}
        table.drop(columns="path").assign(**columns, format="png").to_parquet(folder / "dataset.parquet")
        source = TileSource(folder, folder / "store", folder, [Split.TRAIN])
        backbone = build_model("small", SIZE)
        width = backbone.output_shape[-1]
        model = BagModel(backbone, Head.of(np.zeros(3 * width), 0.0), 0.3)
        steps = args.epochs * -(-len(table) // BATCH)
        schedule = keras.optimizers.schedules.CosineDecay(0.0, steps - 100, warmup_target=RATE, warmup_steps=100)
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(schedule, clipnorm=1.0), loss)
        batches = training_batches(source, source.frame, np.ones(len(table)), Hyperparameters(batch_size=BATCH))
        model.fit(batches, epochs=args.epochs, verbose=2)
        write_backbone(backbone, args.out)


def write_backbone(backbone, path: Path) -> None:
    """Write the weights as Keras 3 does, in half the bytes."""
    kinds = {"Conv2D": "conv2d", "DepthwiseConv2D": "depthwise_conv2d", "BatchNormalization": "batch_normalization"}
    count: Counter[str] = Counter()
    with h5py.File(path, "w", track_order=True) as file:
        for layer in (la for la in backbone.layers if la.weights):
            kind = kinds[type(layer).__name__]
            number, count[kind] = count[kind], count[kind] + 1
            for at, weight in enumerate(layer.get_weights()):
                name = f"layers/{kind}{f'_{number}' if number else ''}/vars/{at}"
                file.create_dataset(name, data=weight.astype(np.float16), track_times=False)


if __name__ == "__main__":
    main()
