"""The work of IndexTiles: new parts of the tile store, and an index of the tiles that this dataset uses."""

import argparse
from collections.abc import Iterator

import pandas as pd

from steps.core.common.errors import UserError
from steps.core.common.program import Progress
from steps.core.dataset.plan import TILES, Plan
from steps.core.dataset.snapshot import Part, parts_to_cut
from steps.core.dataset.tables import read_dataset
from steps.core.tiles.cutting import CutScreenshot
from steps.core.tiles.pieces import Pieces
from steps.core.tiles.spec import PreprocessingSpec, part_key
from steps.core.tiles.store import read_part, tiles_of_dataset, write_index, write_part


def index_tiles(args: argparse.Namespace) -> None:
    """Do what the arguments of `steps.index` say; raises UserError if an accepted screenshot has no tiles."""
    spec = PreprocessingSpec(tile_size=args.tile_size)
    plan = Plan.read(args.plan)
    batches = plan.source.batches(args.store)
    parts = parts_to_cut(batches, lambda batch: plan.source.listing(args.store, batch))
    new = [part for part in parts if part.digest in plan.cut]
    indexes = [read_part(args.store / TILES, part_key(spec, part.digest)) for part in parts if part not in new]
    indexes += list(_new_parts(args, plan, new, spec))
    tiles = tiles_of_dataset(pd.concat(indexes, ignore_index=True), read_dataset(args.dataset))
    write_index(args.output, tiles, spec, args.tiles_uri)
    print(f"{len(tiles):,} tiles of {spec.tile_size} pixels, spec {spec.digest[:12]}; new parts: {len(new)}")


def _new_parts(
    args: argparse.Namespace, plan: Plan, new: list[Part], spec: PreprocessingSpec
) -> Iterator[pd.DataFrame]:
    pieces = Pieces(args.cut)
    progress = Progress("Merged", sum(len(part.files) for part in new), "screenshots")

    def of_part(part: Part) -> Iterator[tuple[str, CutScreenshot]]:
        cuts = pieces.cuts([plan.source.file_key(part.batch, path) for path, _ in part.files])
        for (path, screenshot), cut in zip(part.files, cuts, strict=True):
            if cut.encoded and cut.sha256 != screenshot:
                raise UserError(
                    f"{path} of the batch {part.batch} was changed in the store: its sha256 is {cut.sha256}, the batch "
                    f"was added with {screenshot}; put the file that was added back in its place"
                )
            yield screenshot, cut
            progress.advance()

    for part in new:
        yield write_part(args.new_tiles, part_key(spec, part.digest), of_part(part))
