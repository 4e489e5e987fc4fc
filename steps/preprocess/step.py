"""The work of PreprocessTiles: the tiles of every image that this host was given, in pieces."""

import argparse
import functools
from collections.abc import Iterator
from pathlib import Path

from steps.core.common.program import Progress, worker_count
from steps.core.common.worker_pool import map_in_processes
from steps.core.dataset.plan import Plan
from steps.core.tiles.cutting import CutScreenshot, cut
from steps.core.tiles.pieces import write_pieces
from steps.core.tiles.spec import PreprocessingSpec


def preprocess(args: argparse.Namespace) -> None:
    """Do what the arguments of `steps.preprocess` say."""
    spec = PreprocessingSpec(tile_size=args.tile_size)
    # A manifest may not be empty: where nothing is new it lists something that nobody is to cut.
    keys = _keys(args.images) if Plan.read(args.plan).cut else []
    write_pieces(args.output, _cuts(args, keys, spec))
    print(f"{len(keys):,} screenshots cut into tiles of {spec.tile_size} pixels, spec {spec.digest[:12]}")


def _keys(images: Path) -> list[str]:
    """Return what this host was given: keys below the bucket. With few images and many hosts that may be nothing."""
    files = (path for path in images.rglob("*") if path.is_file())
    return sorted(path.relative_to(images).as_posix() for path in files)


def _cuts(args: argparse.Namespace, keys: list[str], spec: PreprocessingSpec) -> Iterator[tuple[str, CutScreenshot]]:
    files = [args.images / key for key in keys]
    function = functools.partial(cut, spec=spec)
    cuts = map_in_processes(function, files, worker_count(args.workers, len(files)), on_death=_not_cut)
    progress = Progress("Cut", len(files), "screenshots")
    for key, screenshot in zip(keys, cuts, strict=True):
        yield key, screenshot
        progress.advance()


def _not_cut(_: Path, reason: str) -> CutScreenshot:
    return CutScreenshot((), (), reason)
