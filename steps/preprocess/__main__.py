"""PreprocessTiles: cut the screenshots that no night before has cut, each host those that it was given.

Writes pieces: tiles, and which image they are of. IndexTiles makes parts of the tile store of them.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from steps.core.common.program import PROCESSING, run
from steps.core.tiles.spec import PreprocessingSpec


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.preprocess", description=__doc__)
    add = parser.add_argument
    add("--plan", type=Path, default=PROCESSING / "input/plan", help="folder of the plan")
    add("--images", type=Path, default=PROCESSING / "input/images", help="this host's share of what is to be cut")
    add("--output", type=Path, default=PROCESSING / "output/cut", help="where the pieces go")
    add("--message", type=Path, default=Path("/opt/ml/output/message"), help="where the reason of a failure goes")
    add("--tile-size", type=int, default=PreprocessingSpec().tile_size, help="side of the model's input in pixels")
    add("--workers", type=int, default=0, help="processes; 0 is one for each CPU")
    return parser.parse_args(argv)


def _main(args: argparse.Namespace) -> None:
    # Worker processes import this module again, and need nothing of what the step itself needs.
    from steps.preprocess.step import preprocess

    preprocess(args)


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    return run(lambda: _main(args), args.message)


if __name__ == "__main__":
    sys.exit(main())
