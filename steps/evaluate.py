"""EvaluateModel: score the held-out screenshots with the trained model, freeze a threshold and judge it.

Writes `evaluation.json`, `scores.parquet` and `report.html`. A model that does not pass is no error of this step: the
verdict is its result, and the pipeline's condition reads it.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from steps.core.archive import FILE_NAME as MODEL_ARCHIVE
from steps.core.archive import unpacked
from steps.core.evaluation import HELD_OUT
from steps.core.files import read_json, sha256_file
from steps.core.limits import add_limits, limits_of
from steps.core.program import run, worker_count
from steps.core.spec import PreprocessingSpec, check_spec
from steps.train import MODEL_FILE, TRAINING_FILE

_PROCESSING = Path("/opt/ml/processing")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.evaluate", description=__doc__)
    add = parser.add_argument
    add("--model", type=Path, default=_PROCESSING / "input/model", help="folder of the trained model.tar.gz")
    add("--tiles", type=Path, default=_PROCESSING / "input/tiles", help="PreprocessTiles' output")
    add("--dataset", type=Path, default=_PROCESSING / "input/dataset", help="ValidateData's output")
    add("--output", type=Path, default=_PROCESSING / "output/evaluation", help="where the verdict goes")
    add("--message", type=Path, default=Path("/opt/ml/output/message"), help="where the reason of a failure goes")
    add_limits(parser)
    return parser.parse_args(argv)


def _main(args: argparse.Namespace) -> None:
    limits = limits_of(args)

    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(worker_count(0))
    from steps.judging import judge_and_write
    from steps.model import load_model
    from steps.tiles import TileSource, score_tiles

    source = TileSource(args.tiles, args.dataset, HELD_OUT)
    with unpacked(args.model) as folder:
        check_spec(PreprocessingSpec.read(folder), source.spec)
        training = read_json(folder / TRAINING_FILE)
        model = load_model(folder / MODEL_FILE)
    subject = {
        "model": sha256_file(args.model / MODEL_ARCHIVE),
        "preprocessing": source.spec.digest,
        "hyperparameters": training["hyperparameters"],
    }
    judge_and_write(
        functools.partial(score_tiles, model), source, limits, subject, folder=args.output, title="Trained model"
    )


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    return run(lambda: _main(args), args.message)


if __name__ == "__main__":
    sys.exit(main())
