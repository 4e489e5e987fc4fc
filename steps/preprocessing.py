"""What PreprocessTiles does: new parts of the tile store, and an index of the tiles that this dataset uses."""

import argparse
import functools
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from steps.core.cutting import CutScreenshot, cut
from steps.core.dataset import read_dataset
from steps.core.plan import TILES, Plan
from steps.core.program import Progress, worker_count
from steps.core.snapshot import Part, parts_to_cut
from steps.core.spec import PreprocessingSpec
from steps.core.tilestore import part_key, read_part, tiles_of_dataset, write_index, write_part
from steps.workers import map_in_processes


def preprocess(args: argparse.Namespace) -> None:
    """Do what the arguments of `steps.preprocess` say; raises UserError if an accepted screenshot has no tiles."""
    spec = PreprocessingSpec(tile_size=args.tile_size)
    plan = Plan.read(args.plan)
    batches = plan.source.batches(args.store)
    parts = parts_to_cut(batches, lambda batch: plan.source.listing(args.store, batch))
    new = [part for part in parts if part.digest in plan.cut]
    indexes = [read_part(args.store / TILES, part_key(spec, part.digest)) for part in parts if part not in new]
    indexes += list(_cut_parts(args, plan, new, spec))
    tiles = tiles_of_dataset(pd.concat(indexes, ignore_index=True), read_dataset(args.dataset))
    write_index(args.output, tiles, spec, args.tiles_uri)
    print(f"{len(tiles):,} tiles of {spec.tile_size} pixels, spec {spec.digest[:12]}; parts cut: {len(new)}")


def _cut_parts(
    args: argparse.Namespace, plan: Plan, new: list[Part], spec: PreprocessingSpec
) -> Iterator[pd.DataFrame]:
    files = [plan.source.folder(args.store, part.batch) / path for part in new for path, _ in part.files]
    function = functools.partial(cut, spec=spec)
    cuts = map_in_processes(function, files, worker_count(args.workers, len(files)), on_death=_not_cut)
    progress = Progress("Cut", len(files), "screenshots")

    def of_part(part: Part) -> Iterator[tuple[str, CutScreenshot]]:
        for _, screenshot in part.files:
            yield screenshot, next(cuts)
            progress.advance()

    for part in new:
        yield write_part(args.new_tiles, part_key(spec, part.digest), of_part(part))


def _not_cut(_: Path, reason: str) -> CutScreenshot:
    return CutScreenshot((), (), reason)
