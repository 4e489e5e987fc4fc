"""The head: from the features of a screenshot's tiles to its score, linear in what is pooled over the tiles.

A label belongs to a screenshot, the network sees its tiles. Tile index 0 is the overview, the others are squares. The
logit is

    bias + overview . f_0 + mean . (mean of the squares' features) + maximum . (their maximum, feature by feature)

and the score is its sigmoid. So what each tile adds to the logit is known exactly (`Head.evidence`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from steps.core.common.errors import UserError
from steps.core.common.files import read_json, write_json
from steps.core.tiles.tiling import OVERVIEW

FILE_NAME = "head.json"

Floats = npt.NDArray[np.float64]
Features = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Weights float64 [D] for the overview's features, and for mean and maximum of the squares'; it ships as JSON."""

    overview: Floats
    mean: Floats
    maximum: Floats
    bias: float

    def __post_init__(self) -> None:
        rows = (self.overview, self.mean, self.maximum)
        if len({row.shape for row in rows}) > 1 or rows[0].ndim != 1 or not len(rows[0]):
            raise UserError(f"a head of weights of shapes {[row.shape for row in rows]}: three equal rows are wanted")
        if not all(np.isfinite(row).all() for row in rows) or not np.isfinite(self.bias):
            raise UserError("the head has weights that are no numbers: train the model again")

    @property
    def width(self) -> int:
        """D, the number of features of a tile."""
        return len(self.overview)

    @classmethod
    def of(cls, weights: Floats, bias: float) -> Self:
        """Take the weights of what `pool` returns, [3 D]."""
        overview, mean, maximum = np.split(np.asarray(weights, np.float64), 3)
        return cls(overview, mean, maximum, float(bias))

    @property
    def weights(self) -> Floats:
        """The weights of what `pool` returns, [3 D]."""
        return np.concatenate([self.overview, self.mean, self.maximum])

    def calibrated(self, scale: float, offset: float) -> "Head":
        """Return the head whose logit is `scale` times this one's plus `offset`."""
        return Head.of(scale * self.weights, scale * self.bias + offset)

    def logits(self, features: Features, index: Indices, screenshot: Indices) -> Floats:
        """Return the logit of each screenshot, float64 [k]; arguments and errors as of `pool`."""
        if features.shape[1:] != (self.width,):
            raise UserError(f"tiles with features of shape {features.shape[1:]}: the head knows {self.width} of them")
        return pool(features, index, screenshot).astype(np.float64) @ self.weights + self.bias

    def scores(self, features: Features, index: Indices, screenshot: Indices) -> Floats:
        """Return the score of each screenshot, float64 [k], 0 to 1; see `logits`."""
        return np.asarray(expit(self.logits(features, index, screenshot)))

    def evidence(self, features: Features, index: Indices, screenshot: Indices) -> Floats:
        """Return what each tile adds to its screenshot's logit, float64 [tiles]; with the bias they sum to it.

        A maximum is shared among the squares that reach it.
        """
        _check(features, index, screenshot)
        values = np.asarray(features, np.float64)
        found = np.where(index == OVERVIEW, values @ self.overview, 0.0)
        squares = index != OVERVIEW
        owner = screenshot[squares]
        own, starts = values[squares], np.flatnonzero(np.diff(owner, prepend=-1))
        reached = own == np.maximum.reduceat(own, starts)[owner]
        shared = reached / np.add.reduceat(reached.astype(np.float64), starts)[owner]
        counts = np.bincount(owner)[owner]
        found[squares] = own @ self.mean / counts + (shared * own) @ self.maximum
        return found

    def tile_scores(self, features: Features, index: Indices, screenshot: Indices) -> Floats:
        """Return what each tile says, float64 [tiles], 0 to 1, for people to see where evidence lies.

        It is the score of a screenshot with the same overview whose squares all look like this tile.
        """
        values = np.asarray(features, np.float64)
        whole = (values[index == OVERVIEW] @ self.overview)[screenshot]
        return np.asarray(expit(self.bias + whole + values @ (self.mean + self.maximum)))

    def to_dict(self) -> dict[str, Any]:
        rows = {name: getattr(self, name).tolist() for name in ("overview", "mean", "maximum")}
        return {"version": 1, **rows, "bias": self.bias}

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Read what `to_dict` gave; raises UserError for anything else."""
        wanted = {field.name for field in fields(cls)} | {"version"}
        if not isinstance(value, Mapping) or set(value) != wanted or value["version"] != 1:
            raise UserError(f"a head of another form, {str(value)[:200]}: train the model with this version")
        try:
            overview, mean, maximum = (np.array(value[name], np.float64) for name in ("overview", "mean", "maximum"))
            return cls(overview, mean, maximum, float(value["bias"]))
        except (TypeError, ValueError):
            raise UserError(f"a head whose weights are no lists of numbers, {str(value)[:200]}") from None

    def write(self, folder: Path) -> None:
        write_json(folder / FILE_NAME, self.to_dict())

    @classmethod
    def read(cls, folder: Path) -> Self:
        return cls.from_dict(read_json(folder / FILE_NAME))


def pool(features: Features, index: Indices, screenshot: Indices) -> npt.NDArray[np.float32]:
    """Pool features [tiles, D] over the tiles of each screenshot, float32 [k, 3 D]: overview, mean and maximum.

    `index` [tiles] is each tile's place in its plan, `screenshot` [tiles] rises from 0 to k - 1 and says whose it is.
    NaN of any tile gives NaN. Raises UserError where a screenshot lacks its overview or its squares.
    """
    _check(features, index, screenshot)
    width = features.shape[1]
    squares = index != OVERVIEW
    owner = screenshot[squares]
    pooled = np.empty((int(screenshot[-1]) + 1 if len(screenshot) else 0, 3 * width), np.float32)
    if not len(pooled):
        return pooled
    own, starts = np.asarray(features[squares], np.float32), np.flatnonzero(np.diff(owner, prepend=-1))
    pooled[:, :width] = features[~squares]
    pooled[:, width : 2 * width] = np.add.reduceat(own, starts) / np.bincount(owner)[:, None]
    pooled[:, 2 * width :] = np.maximum.reduceat(own, starts)
    return pooled


def _check(features: Features, index: Indices, screenshot: Indices) -> None:
    if features.ndim != len(("tiles", "features")) or len(features) != len(index):
        raise UserError(f"features of shape {features.shape} for {len(index)} tiles: a row a tile is wanted")
    first = np.flatnonzero(np.diff(screenshot, prepend=-1))
    overviews = np.flatnonzero(index == OVERVIEW)
    sizes = np.diff(first, append=len(index))
    if not np.array_equal(first, overviews) or (sizes < len(("overview", "square"))).any():
        raise UserError("a screenshot lacks its overview or its squares: tile the data with this version")
