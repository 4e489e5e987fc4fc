"""IndexTiles: make parts of the tile store of what the hosts have cut, and index the tiles of the accepted ones.

Writes new parts of the tile store (shards and their index) and, with pretrained weights, the features of tiles that
these have not described yet; for the later steps `tiles.parquet`, the spec `preprocessing.json`, and `shards.manifest`
and `features.manifest`, the lists of the files that hold this dataset's tiles and their features. Labels and splits
are not in them: they are joined at read time. How many hosts and processes have cut changes not one byte.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from steps.core.common.choices import BACKBONES
from steps.core.common.program import PROCESSING, run
from steps.core.tiles.spec import PreprocessingSpec


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.index", description=__doc__)
    add = parser.add_argument
    add("--dataset", type=Path, default=PROCESSING / "input/dataset", help="ValidateData's output")
    add("--plan", type=Path, default=PROCESSING / "input/plan", help="folder of the plan")
    add("--store", type=Path, default=PROCESSING / "input/store", help="the store's objects that the plan lists")
    add("--cut", type=Path, default=PROCESSING / "input/cut", help="the pieces that PreprocessTiles wrote")
    add("--pretrained", type=Path, default=PROCESSING / "input/pretrained", help="folder of the pretrained weights")
    add("--backbone", default="small", choices=BACKBONES, help="what the weights are of")
    add("--output", type=Path, default=PROCESSING / "output/tiles", help="where index, spec and lists go")
    add("--new-tiles", type=Path, default=PROCESSING / "output/new-tiles", help="where new parts of the store go")
    add("--tiles-uri", default="s3://tilegate-local/tiles", help="where the platform puts the new parts")
    add("--new-features", type=Path, default=PROCESSING / "output/new-features", help="where new features go")
    add("--features-uri", default="s3://tilegate-local/features", help="where the platform puts the new features")
    add("--message", type=Path, default=Path("/opt/ml/output/message"), help="where the reason of a failure goes")
    add("--tile-size", type=int, default=PreprocessingSpec().tile_size, help="side of the model's input in pixels")
    return parser.parse_args(argv)


def _main(args: argparse.Namespace) -> None:
    from steps.index.step import index_tiles

    index_tiles(args)


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    return run(lambda: _main(args), args.message)


if __name__ == "__main__":
    sys.exit(main())
