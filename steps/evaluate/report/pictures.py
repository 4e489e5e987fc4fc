"""Screenshots as the page shows them: the stored overview tile, where its squares lie and what each of them scores."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from steps.core.tiles.shards import read_record
from steps.core.tiles.tiling import OVERVIEW
from steps.evaluate.report.model import Box, Gallery, Shot

# A class activation map for each tile: float32 [g, g] in 0..1, by the screenshot's id and the tile's index.
Cams = Mapping[tuple[str, int], npt.NDArray[np.float32]]

MOST = 12
_CAM_LONG_SIDE = 96
_OPACITY = 0.7


def gallery(
    scored: pd.DataFrame, tiles: pd.DataFrame, shards: Path, cams: Cams | None = None, most: int = MOST
) -> Gallery:
    """Return the screenshots of `scored` with their pictures, those with the score farthest from their label first.

    scored: columns id, label, group, width, height, score, flagged. tiles: columns id, index, left, top, tile_width,
    tile_height, shard, offset, length and tile_score; a screenshot without an overview has no picture. Raises UserError
    if a shard is damaged.
    """
    scored = scored.reset_index(drop=True)
    wrong = scored["flagged"].astype(bool) != (scored["label"] == 1)
    shown = farthest(scored.assign(wrong=wrong), most)
    records = tiles[tiles["id"].isin(shown["id"])].to_dict("records")
    mine: dict[str, list[Mapping[Any, Any]]] = {str(key): [] for key in shown["id"]}
    for tile in sorted(records, key=lambda tile: int(tile["index"])):
        mine[str(tile["id"])].append(tile)
    shots = [_shot(row, mine[str(row["id"])], shards, cams or {}) for row in shown.to_dict("records")]
    return Gallery(shots, len(scored), int(wrong.sum()))


def farthest(scored: pd.DataFrame, most: int = MOST) -> pd.DataFrame:
    """Return the rows whose score is farthest from their label, the farthest first; `scored` has a row index."""
    # What is not a number is the worst of all.
    distance = (scored["score"] - scored["label"]).abs().fillna(np.inf)
    return scored.loc[distance.sort_values(ascending=False, kind="stable").index[:most]]


def bands(boxes: Sequence[Box]) -> list[Box]:
    """Cut overlapping squares into parts that do not overlap, each with the highest score of those that cover it.

    Squares of a tile plan lie in one row or one column: a part is as wide as they are across, and as long as no square
    begins or ends within it. Parts that no score covers are left out.
    """
    scored = [box for box in boxes if np.isfinite(box.score)]
    if not scored:
        return []
    wide = len({box.top for box in boxes}) == 1 and len({box.left for box in boxes}) > 1
    ends = [_ends(box.left, box.width) if wide else _ends(box.top, box.height) for box in scored]
    cuts = sorted({end for pair in ends for end in pair})
    across = scored[0]
    found = []
    for low, high in itertools.pairwise(cuts):
        covering = [box.score for box, (start, end) in zip(scored, ends, strict=True) if start <= low and high <= end]
        if covering:
            place = (
                (low, across.top, high - low, across.height) if wide else (across.left, low, across.width, high - low)
            )
            found.append(Box(*place, max(covering)))
    return found


def _ends(start: float, length: float) -> tuple[float, float]:
    """Return both ends, rounded so that ends at the same pixel are the same number."""
    return round(start, 6), round(start + length, 6)


def _shot(row: Mapping[Any, Any], tiles: Sequence[Mapping[Any, Any]], shards: Path, cams: Cams) -> Shot:
    width, height, key = int(row["width"]), int(row["height"]), str(row["id"])
    squares, places = [], {}
    picture, whole = b"", float("nan")
    for tile in tiles:
        score = float(tile["tile_score"])
        if tile["index"] == OVERVIEW:
            picture = read_record(shards / str(tile["shard"]), int(tile["offset"]), int(tile["length"]))
            whole = score
            continue
        place = (int(tile["left"]), int(tile["top"]), int(tile["tile_width"]), int(tile["tile_height"]))
        places[int(tile["index"])] = place
        left, top, across, down = place
        squares.append(Box(100 * left / width, 100 * top / height, 100 * across / width, 100 * down / height, score))
    return Shot(
        id=key,
        label=int(row["label"]),
        group=str(row["group"]),
        width=width,
        height=height,
        score=float(row["score"]),
        wrong=bool(row["wrong"]),
        picture=picture,
        whole=whole,
        boxes=squares,
        cams=_heat_maps(key, (width, height), places, cams),
    )


def _heat_maps(
    key: str, size: tuple[int, int], places: Mapping[int, tuple[int, int, int, int]], cams: Cams
) -> dict[str, bytes]:
    found = {}
    if (key, OVERVIEW) in cams:
        found["overview"] = _png(_laid([((0, 0, *size), cams[key, OVERVIEW])], size))
    squares = [(place, cams[key, index]) for index, place in places.items() if (key, index) in cams]
    if squares:
        found["squares"] = _png(_laid(squares, size))
    return found


def _laid(
    cams: Sequence[tuple[tuple[int, int, int, int], npt.NDArray[np.float32]]], size: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Return one map over the whole screenshot, [h, w] in 0..1; where tiles overlap the higher value counts."""
    import cv2

    scale = _CAM_LONG_SIDE / max(size)
    width, height = (max(round(side * scale), 1) for side in size)
    canvas = np.zeros((height, width), np.float32)
    for (left, top, across, down), cam in cams:
        x, y = (min(round(v * scale), limit - 1) for v, limit in ((left, width), (top, height)))
        w, h = max(round(across * scale), 1), max(round(down * scale), 1)
        grid = np.nan_to_num(np.asarray(cam, np.float32), nan=0.0, posinf=0.0, neginf=0.0).clip(0, 1)
        part = canvas[y : y + h, x : x + w]
        resized = cv2.resize(grid, (w, h), interpolation=cv2.INTER_LINEAR)[: part.shape[0], : part.shape[1]]
        np.maximum(part, resized, out=part)
    return canvas


def _png(heat: npt.NDArray[np.float32]) -> bytes:
    """Return a picture to lay over a screenshot: nothing where there is no heat, opaque where there is most."""
    import cv2

    colours = cv2.applyColorMap((255 * (0.35 + 0.6 * heat)).astype(np.uint8), cv2.COLORMAP_INFERNO)
    alpha = (255 * _OPACITY * np.sqrt(heat)).astype(np.uint8)
    _, data = cv2.imencode(".png", np.dstack([colours, alpha]))
    return bytes(data)
