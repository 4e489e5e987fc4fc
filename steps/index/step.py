"""The work of IndexTiles: new parts of the tile store and their features, and an index of the tiles of this dataset."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.core.common.program import Progress
from steps.core.dataset.plan import TILES, Plan
from steps.core.dataset.snapshot import Part, parts_to_cut
from steps.core.dataset.tables import read_dataset, read_tiles
from steps.core.tiles.cutting import CutScreenshot
from steps.core.tiles.features import features_key, write_shard_features
from steps.core.tiles.pieces import Pieces
from steps.core.tiles.spec import PreprocessingSpec, part_key
from steps.core.tiles.store import tiles_of_dataset, write_features_list, write_index, write_part
from steps.network.runtime import start_tensorflow
from steps.network.weights import pretrained_weights


def index_tiles(args: argparse.Namespace) -> None:
    """Do what the arguments of `steps.index` say; raises UserError if an accepted screenshot has no tiles."""
    spec = PreprocessingSpec(tile_size=args.tile_size)
    plan = Plan.read(args.plan)
    weights = _weights(args, plan, spec)
    batches = plan.source.batches(args.store)
    parts = parts_to_cut(batches, lambda batch: plan.source.listing(args.store, batch))
    new = [part for part in parts if part.digest in plan.cut]
    old = [part for part in parts if part not in new]
    indexes = {part.digest: read_tiles(args.store / TILES / part_key(spec, part.digest)) for part in old}
    indexes |= dict(zip((part.digest for part in new), _new_parts(args, plan, new, spec), strict=True))
    tiles = tiles_of_dataset(pd.concat(indexes.values(), ignore_index=True), read_dataset(args.dataset))
    undescribed = [
        (args.new_tiles if part in new else args.store / TILES, indexes[part.digest])
        for part in parts
        if part.digest in plan.describe
    ]
    _describe(args, weights, undescribed, args.new_features / plan.features)
    write_features_list(args.output, tiles, args.features_uri, plan.features)
    write_index(args.output, tiles, spec, args.tiles_uri)
    print(f"{len(tiles):,} tiles of {spec.tile_size} pixels, spec {spec.digest[:12]}; new parts: {len(new)}")


def _weights(args: argparse.Namespace, plan: Plan, spec: PreprocessingSpec) -> Path:
    """Return the pretrained weights; raises UserError if the plan was made for others."""
    weights = pretrained_weights(args.pretrained)
    key = features_key(spec, args.backbone, sha256_file(weights))
    if key != plan.features:
        raise UserError(
            f"the run was planned for features {plan.features}, and its weights, backbone and tiles make it {key}: "
            "start it again"
        )
    return weights


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


def _describe(
    args: argparse.Namespace, weights: Path, parts: Sequence[tuple[Path, pd.DataFrame]], output: Path
) -> None:
    """Write the features of whole parts: each is the folder of its shards, and the index of its tiles."""
    total = sum(index["id"].nunique() for _, index in parts)
    if not total:
        return
    start_tensorflow()
    from steps.index.describe import FrozenBackbone

    backbone = FrozenBackbone(args.backbone, args.tile_size, weights)
    progress = Progress("Described", total, "screenshots")
    for folder, index in parts:
        for shard, tiles in index.groupby("shard", sort=False):
            is_last = (tiles["index"] == tiles["count"] - 1).to_numpy()
            batches, done = [], 0
            for features in backbone.batches(folder / str(shard)):
                batches.append(features)
                progress.advance(int(is_last[done : done + len(features)].sum()))
                done += len(features)
            if done != len(tiles):
                raise UserError(
                    f"{folder / str(shard)} holds {done} tiles, and its index names {len(tiles)}: remove its part from "
                    "the tile store, and start the run again"
                )
            write_shard_features(output, str(shard), np.concatenate(batches))
