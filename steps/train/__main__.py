"""TrainModel, and every trial of TuneHyperparameters: train a tile classifier on the development splits.

Obeys SageMaker's training contract: channels `tiles`, `shards`, `features`, `dataset`, `pretrained`, hyperparameters in
`/opt/ml/input/config/hyperparameters.json`, the model into `/opt/ml/model`, metrics as log lines, checkpoints in
`/opt/ml/checkpoints`. Of several hosts, named by resourceconfig.json, the first one writes. `pretrained` holds
one Keras `*.weights.h5`.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from steps.core.common.errors import UserError
from steps.core.common.files import read_json, sha256_file, write_json
from steps.core.common.program import run
from steps.core.common.scratch import scratch
from steps.core.dataset.splits import DEVELOPMENT
from steps.core.dataset.tables import DATASET as DATASET_FILE
from steps.core.dataset.tables import TILES as TILES_FILE
from steps.core.dataset.tables import join_tiles, read_dataset, read_tiles
from steps.core.tiles.features import read_features
from steps.network.archive import HISTORY_FILE, MODEL_FILE, TRAINING_FILE
from steps.network.runtime import lost_hosts, start_tensorflow, strategy_of
from steps.network.weights import pretrained_weights
from steps.train.checkpoints import Checkpoints
from steps.train.hyperparameters import Hyperparameters
from steps.train.phase1 import Examples
from steps.train.step import Learned, examples_of, learn

if TYPE_CHECKING:
    from steps.network.tile_input import TileSource

_ML = Path("/opt/ml")
# To be counted up when the same settings and data no longer mean the same steps.
_CHECKPOINT_VERSION = 2


def _folder(variable: str, default: Path) -> Path:
    return Path(os.environ.get(variable, default))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.train", description=__doc__)
    add = parser.add_argument
    data = _ML / "input/data"
    config = _folder("SM_INPUT_CONFIG_DIR", _ML / "input/config")
    # SageMaker starts every training image with this one word.
    add("verb", nargs="?", choices=["train"], default="train", help=argparse.SUPPRESS)
    add("--tiles", type=Path, default=_folder("SM_CHANNEL_TILES", data / "tiles"), help="IndexTiles' output")
    add("--shards", type=Path, default=_folder("SM_CHANNEL_SHARDS", data / "shards"), help="the tile store's shards")
    add("--features", type=Path, default=_folder("SM_CHANNEL_FEATURES", data / "features"), help="of the tiles")
    add("--dataset", type=Path, default=_folder("SM_CHANNEL_DATASET", data / "dataset"), help="development splits")
    add("--pretrained", type=Path, default=_folder("SM_CHANNEL_PRETRAINED", data / "pretrained"), help="weights")
    add("--hyperparameters", type=Path, default=config / "hyperparameters.json", help="JSON, all values strings")
    add("--hosts", type=Path, default=config / "resourceconfig.json", help="JSON: the hosts of this job, and this one")
    # No variable tells this place; it lies beside `input`.
    checkpoints = config.parent.parent / "checkpoints"
    add("--checkpoints", type=Path, default=checkpoints, help="where an interrupted training goes on from")
    add("--model", type=Path, default=_folder("SM_MODEL_DIR", _ML / "model"), help="where the model goes")
    failure = _folder("SM_OUTPUT_DIR", _ML / "output") / "failure"
    add("--message", type=Path, default=failure, help="where the reason of a failure goes")
    return parser.parse_args(argv)


def _main(args: argparse.Namespace) -> None:
    settings = Hyperparameters.parse(read_json(args.hyperparameters))
    pretrained = pretrained_weights(args.pretrained)
    if not (settings.refit or settings.fine_tune_blocks):
        # What is asked for is known without the network: TensorFlow takes longer to start than this to answer.
        learn(_examples(args, join_tiles(read_tiles(args.tiles), read_dataset(args.dataset), DEVELOPMENT)), settings)
        return

    start_tensorflow()
    from steps.network.tile_input import TileSource
    from steps.train.phase2 import Phase2

    strategy, is_chief = strategy_of(args.hosts)
    source = TileSource(args.tiles, args.shards, args.dataset, DEVELOPMENT)
    saved = args.checkpoints / f"{_identity(args, settings, pretrained)}.zip"
    with scratch("checkpoints") as beside, lost_hosts():
        checkpoints = Checkpoints(saved, beside, writes=is_chief)
        checkpoints.restore()
        phase = Phase2(source, settings, pretrained, strategy, checkpoints)
        learned = learn(_examples(args, source.frame), settings, phase)
    if is_chief and settings.refit:
        _write(args, settings, pretrained, source, learned)


def _examples(args: argparse.Namespace, tiles: pd.DataFrame) -> Examples:
    examples = examples_of(tiles, read_features(args.features, tiles))
    print(f"Learning from {len(examples.labels):,} screenshots of {len(set(examples.groups)):,} groups", flush=True)
    return examples


def _identity(args: argparse.Namespace, settings: Hyperparameters, pretrained: Path) -> str:
    """Return a digest of all that the trained weights depend on: trainings share a place for their checkpoints."""
    import tensorflow as tf

    depends = {
        "version": [_CHECKPOINT_VERSION, tf.__version__],
        "hyperparameters": settings.to_dict(),
        "data": [sha256_file(path) for path in (args.tiles / TILES_FILE, args.dataset / DATASET_FILE)],
        "pretrained": sha256_file(pretrained),
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:32]


def _write(
    args: argparse.Namespace, settings: Hyperparameters, pretrained: Path, source: "TileSource", learned: Learned
) -> None:
    """Write what later steps read of the model."""
    from steps.network.backbone import build_model, save_weights

    args.model.mkdir(parents=True, exist_ok=True)
    model = learned.model or build_model(settings.backbone, source.spec.tile_size, pretrained=pretrained)
    if model.output_shape[-1] != learned.head.width:
        raise UserError(
            f"the features are {learned.head.width} a tile, and {settings.backbone} gives {model.output_shape[-1]}: "
            "they are of other weights; start the run again"
        )
    save_weights(model, args.model / MODEL_FILE)
    learned.head.write(args.model)
    source.spec.write(args.model)
    write_json(args.model / HISTORY_FILE, learned.history)
    write_json(
        args.model / TRAINING_FILE,
        {
            "version": 2,
            "hyperparameters": settings.to_dict(),
            "pretrained": {"file": pretrained.name, "sha256": sha256_file(pretrained)},
            "screenshots": source.frame["id"].nunique(),
            "tiles": len(source.frame),
            "penalty": learned.penalty,
            "fine_tuned": learned.model is not None,
            "gain": asdict(learned.gain) if learned.gain else None,
            "note": learned.note,
            "best": learned.best,
        },
    )


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    return run(lambda: _main(args), args.message)


if __name__ == "__main__":
    sys.exit(main())
