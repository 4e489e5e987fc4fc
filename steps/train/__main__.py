"""TrainModel, and every trial of TuneHyperparameters: train a tile classifier on the development splits.

Obeys SageMaker's training contract: channels `tiles`, `shards`, `dataset` and `pretrained`, hyperparameters in
`/opt/ml/input/config/hyperparameters.json`, the model into `/opt/ml/model`, metrics as log lines, checkpoints in
`/opt/ml/checkpoints`. Of several hosts, told by resourceconfig.json, the first one writes. `pretrained` holds
one Keras `*.weights.h5`, or `initialisation.json` to say that training starts from random weights.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steps.core.common.files import read_json, sha256_file, write_json
from steps.core.common.program import run
from steps.core.dataset.splits import DEVELOPMENT
from steps.core.dataset.tables import DATASET as DATASET_FILE
from steps.core.dataset.tables import TILES as TILES_FILE
from steps.network.archive import HISTORY_FILE, MODEL_FILE, TRAINING_FILE
from steps.network.runtime import start_tensorflow
from steps.network.weights import pretrained_weights
from steps.train.hyperparameters import Hyperparameters

_ML = Path("/opt/ml")
# To be counted up when the same settings and data no longer mean the same steps.
_CHECKPOINT_VERSION = 1


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

    start_tensorflow()
    from steps.network.distributed import lost_hosts, start_replicas
    from steps.network.tile_input import TileSource
    from steps.train.checkpoints import Checkpoints
    from steps.train.step import train

    replicas = start_replicas(args.hosts)
    source = TileSource(args.tiles, args.shards, args.dataset, DEVELOPMENT)
    origin = pretrained.name if pretrained else "random weights"
    shared = f", on {replicas.count} replicas" if replicas.count > 1 else ""
    print(f"Training {settings.backbone} from {origin}{shared}", flush=True)
    checkpoints = Checkpoints(args.checkpoints, _identity(args, settings, pretrained))
    with lost_hosts(replicas):
        trained = train(source, settings, pretrained, replicas=replicas, checkpoints=checkpoints)
    if replicas.is_chief:
        _write(args, settings, pretrained, source, trained)


def _identity(args: argparse.Namespace, settings: Hyperparameters, pretrained: Path | None) -> str:
    """Return a digest of all that the trained weights depend on."""
    import tensorflow as tf

    tables = (args.tiles / TILES_FILE, args.dataset / DATASET_FILE)
    depends = {
        "version": [_CHECKPOINT_VERSION, tf.__version__],
        "hyperparameters": settings.to_dict(),
        "data": [sha256_file(path) for path in tables],
        "pretrained": sha256_file(pretrained) if pretrained else None,
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()


def _write(
    args: argparse.Namespace, settings: Hyperparameters, pretrained: Path | None, source: Any, trained: Any
) -> None:
    """Write what later steps read of the model, its compressed variants among it."""
    from steps.train.early_stopping import metrics_line
    from steps.train.step import compressed

    args.model.mkdir(parents=True, exist_ok=True)
    trained.model.save(args.model / MODEL_FILE)
    trained.reducer.write(args.model)
    source.spec.write(args.model)
    for kind in settings.compressions:
        from steps.network.compression.kinds import save_variant

        print(f"Compressing: {kind}", flush=True)
        save_variant(compressed(trained, kind, source, settings), args.model, kind)
    write_json(args.model / HISTORY_FILE, trained.history)
    write_json(
        args.model / TRAINING_FILE,
        {
            "version": 1,
            "hyperparameters": settings.to_dict(),
            "pretrained": {"file": pretrained.name, "sha256": sha256_file(pretrained)} if pretrained else None,
            "screenshots": source.frame.drop_duplicates("id")["split"].value_counts().to_dict(),
            "tiles": len(source.frame),
            "best": trained.best,
        },
    )
    # The last value is the one that tuning compares: the kept epoch's, not the last one's.
    print("kept " + metrics_line({k: v for k, v in trained.best.items() if k != "train:loss"}), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    return run(lambda: _main(args), args.message)


if __name__ == "__main__":
    sys.exit(main())
