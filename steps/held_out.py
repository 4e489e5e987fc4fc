"""The arguments that the two judging programs share: the trained model, the held-out data, and the limits."""

import argparse
from pathlib import Path

from steps.core.gate import Limits
from steps.core.program import PROCESSING


def add_arguments(parser: argparse.ArgumentParser) -> None:
    defaults = Limits()
    add = parser.add_argument
    add("--model", type=Path, default=PROCESSING / "input/model", help="folder of the trained model.tar.gz")
    add("--tiles", type=Path, default=PROCESSING / "input/tiles", help="PreprocessTiles' output")
    add("--shards", type=Path, default=PROCESSING / "input/shards", help="the tile store's shards")
    add("--dataset", type=Path, default=PROCESSING / "input/dataset", help="ValidateData's output")
    add("--message", type=Path, default=Path("/opt/ml/output/message"), help="where the reason of a failure goes")
    add("--max-fpr", type=float, default=defaults.max_fpr, help="limit of the FPR's upper bound, 0 to 1")
    add("--min-tpr", type=float, default=defaults.min_tpr, help="floor of the TPR's lower bound, 0 to 1")


def limits_of(args: argparse.Namespace) -> Limits:
    return Limits(args.max_fpr, args.min_tpr)
