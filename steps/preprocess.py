"""PreprocessTiles: cut every accepted screenshot into the model's tiles and store them in shards.

Writes `tiles/<batch>-<number>.tfrecord`, their index `tiles.parquet` and the spec `preprocessing.json`. Labels and
splits are not in them: they are joined at read time.
"""

import argparse
import functools
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from steps.core.cutting import cut_tiles, encode_tile
from steps.core.dataset import TileRecord, read_dataset, write_tiles
from steps.core.errors import UserError
from steps.core.files import replacing
from steps.core.images import ImageRefusedError, read_image
from steps.core.program import PROCESSING, Progress, run, worker_count
from steps.core.shards import ShardWriter
from steps.core.spec import PreprocessingSpec
from steps.core.tiles import Tile, plan_tiles
from steps.workers import map_in_processes

TILES_FOLDER = "tiles"
SCREENSHOTS_PER_SHARD = 512


@dataclass(frozen=True, slots=True)
class CutScreenshot:
    """A screenshot's tiles, encoded, in the order of its plan; `refusal` is "" unless the file no longer opens."""

    plan: tuple[Tile, ...]
    encoded: tuple[bytes, ...]
    refusal: str = ""


def cut(file: Path, spec: PreprocessingSpec) -> CutScreenshot:
    """Decode, cut, resize and encode one screenshot."""
    try:
        pixels, facts = read_image(file)
    except ImageRefusedError as error:
        return CutScreenshot((), (), str(error))
    return CutScreenshot(
        plan_tiles(facts.width, facts.height), tuple(encode_tile(tile) for tile in cut_tiles(pixels, spec))
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.preprocess", description=__doc__)
    add = parser.add_argument
    add("--dataset", type=Path, default=PROCESSING / "input/dataset", help="ValidateData's output")
    add("--labelled", type=Path, default=PROCESSING / "input/labelled", help="folder of the labelled batches")
    add("--output", type=Path, default=PROCESSING / "output/tiles", help="where shards, index and spec go")
    add("--message", type=Path, default=Path("/opt/ml/output/message"), help="where the reason of a failure goes")
    add("--tile-size", type=int, default=PreprocessingSpec().tile_size, help="side of the model's input in pixels")
    add("--workers", type=int, default=0, help="processes; 0 is one for each CPU")
    return parser.parse_args(argv)


def _main(args: argparse.Namespace) -> None:
    spec = PreprocessingSpec(tile_size=args.tile_size)
    dataset = read_dataset(args.dataset).sort_values(["batch", "id"], kind="stable")
    files = [args.labelled / uri for uri in dataset["uri"]]
    cuts = map_in_processes(functools.partial(cut, spec=spec), files, worker_count(args.workers))
    progress = Progress("Cut", len(dataset), "screenshots")
    records: list[TileRecord] = []
    for batch, rows in dataset.groupby("batch", sort=True):
        for number, start in enumerate(range(0, len(rows), SCREENSHOTS_PER_SHARD)):
            shard = f"{TILES_FOLDER}/{batch}-{number:05d}.tfrecord"
            part = rows.iloc[start : start + SCREENSHOTS_PER_SHARD]
            records += _write_shard(args.output, shard, part, itertools.islice(cuts, len(part)), progress)
    spec.write(args.output)
    write_tiles(args.output, records)
    print(f"Stored {len(records)} tiles of {spec.tile_size} pixels, spec {spec.digest[:12]}")


def _write_shard(
    output: Path, shard: str, part: pd.DataFrame, cuts: Iterator[CutScreenshot], progress: Progress
) -> list[TileRecord]:
    records: list[TileRecord] = []
    with replacing(output / shard) as beside, ShardWriter(beside, shard) as writer:
        for screenshot, uri, made in zip(part["id"].tolist(), part["uri"].tolist(), cuts, strict=True):
            if made.refusal:
                raise UserError(f"{uri} no longer opens ({made.refusal}): validate the data again")
            for index, (tile, data) in enumerate(zip(made.plan, made.encoded, strict=True)):
                at = writer.append(data)
                records.append(
                    TileRecord(
                        id=screenshot,
                        index=index,
                        count=len(made.plan),
                        left=tile.left,
                        top=tile.top,
                        side=tile.side,
                        shard=shard,
                        record=len(records),
                        offset=at.offset,
                        length=at.length,
                    )
                )
            progress.advance()
    return records


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    return run(lambda: _main(args), args.message)


if __name__ == "__main__":
    sys.exit(main())
