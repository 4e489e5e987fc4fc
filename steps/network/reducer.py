"""From the evidence of tiles to the score of their screenshot: the part of the model that labels are about.

A label belongs to a screenshot, the network sees its tiles, so the reducer is trained through (multiple-instance
learning). Tile index 0 is the overview, the others are squares. Of the squares' logits z, m of them:

    mean          sum z / m
    max           the largest z
    noisy-or      log(1 / prod(1 - sigmoid(z)) - 1): positive if any square is, each on its own
    lse           log(sum exp(r z) / m) / r with r = 4: between mean and max (Pinheiro and Collobert 2015)
    top2          the mean of the two largest z, of one if there is one
    attention     sum softmax(a) z with a second column of evidence as a (Ilse et al. 2018, additive form)
    blend         two values: the mean of one column and the maximum of another

The overview's logit has a column of its own and joins as an equal partner: the logit is the mean of the overview and of
what the squares give. A score is
sigmoid(scale logit + offset), where scale and offset are fitted on validation (Platt 1999), so that a score can be read
as a probability and does not stick to 1, where 32-bit numbers have no room for a threshold.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_expit

from steps.core.common.choices import REDUCERS
from steps.core.common.errors import UserError
from steps.core.common.files import read_json, write_json
from steps.core.tiles.tiling import OVERVIEW

FILE_NAME = "reducer.json"
LSE_SHARPNESS = 4.0
TOP = 2
# Columns of evidence: of the overview, of a square, and what else a square says: its weight, or the logit that blend
# takes the maximum of.
OVERVIEW_LOGIT, SQUARE_LOGIT, SQUARE_MORE = 0, 1, 2

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Reducer:
    """How a model's evidence becomes a score; it ships with the model."""

    kind: str = "blend"
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in REDUCERS:
            raise UserError(f"reducer {self.kind!r}: one of {', '.join(REDUCERS)} is wanted")
        if not (np.isfinite(self.scale) and np.isfinite(self.offset) and self.scale > 0):
            raise UserError(f"a score of sigmoid({self.scale} logit + {self.offset}) does not rise with the logit")

    @property
    def columns(self) -> int:
        """The number of values that the network has to give for each tile."""
        return 3 if self.kind in ("attention", "blend") else 2

    def logits(self, evidence: npt.NDArray[np.floating], index: Indices, screenshot: Indices) -> Floats:
        """Reduce evidence [tiles, columns] to a logit a screenshot, float64 [k]; NaN of any tile gives NaN.

        `index` [tiles] is each tile's place in its plan, `screenshot` [tiles] rises from 0 to k - 1 and says whose it
        is. Raises UserError where a screenshot lacks its overview or its squares.
        """
        values = np.asarray(evidence, np.float64)
        if values.shape != (len(index), self.columns):
            raise UserError(f"evidence of shape {values.shape}: {(len(index), self.columns)} is wanted")
        first = np.flatnonzero(np.diff(screenshot, prepend=-1))
        squares = index != OVERVIEW
        counts = np.add.reduceat(squares.astype(np.int64), first) if len(first) else np.zeros(0, np.int64)
        sizes = np.diff(first, append=len(index))
        if (index[first] != OVERVIEW).any() or (counts != sizes - 1).any() or (counts < 1).any():
            raise UserError("a screenshot lacks its overview or its squares: tile the data with this version")
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]]) if len(counts) else np.zeros(0, np.int64)
        whole = values[first, OVERVIEW_LOGIT]
        if not len(first):
            return np.zeros(0)
        parts = _RULES[self.kind](values[squares].T, starts, counts)
        return np.asarray((whole + sum(parts)) / (1 + len(parts)))

    def scores(self, evidence: npt.NDArray[np.floating], index: Indices, screenshot: Indices) -> Floats:
        """Return the score of each screenshot, float64 [k], 0 to 1; see `logits`."""
        return self.score_of(self.logits(evidence, index, screenshot))

    def score_of(self, logits: Floats) -> Floats:
        return np.asarray(expit(self.scale * logits + self.offset))

    def tile_scores(self, evidence: npt.NDArray[np.floating], index: Indices) -> Floats:
        """Return what each tile says alone, float64 [tiles], 0 to 1: for people to see where evidence lies."""
        values = np.asarray(evidence, np.float64)
        square = values[:, SQUARE_LOGIT:].mean(1) if self.kind == "blend" else values[:, SQUARE_LOGIT]
        return self.score_of(np.where(index == OVERVIEW, values[:, OVERVIEW_LOGIT], square))

    def to_dict(self) -> dict[str, Any]:
        return {"version": 1, **asdict(self)}

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Read what `to_dict` gave; raises UserError for anything else."""
        wanted = {field.name for field in fields(cls)} | {"version"}
        if not isinstance(value, Mapping) or set(value) != wanted or value["version"] != 1:
            raise UserError(f"a reducer of another form, {str(value)[:200]}: train the model with this version")
        try:
            return cls(str(value["kind"]), float(value["scale"]), float(value["offset"]))
        except (TypeError, ValueError):
            raise UserError(f"a reducer whose scale or offset is no number, {str(value)[:200]}") from None

    def write(self, folder: Path) -> None:
        write_json(folder / FILE_NAME, self.to_dict())

    @classmethod
    def read(cls, folder: Path) -> Self:
        return cls.from_dict(read_json(folder / FILE_NAME))


def _log_sum_exp(values: Floats, starts: Indices, counts: Indices) -> Floats:
    largest = np.maximum.reduceat(values, starts)
    return np.asarray(largest + np.log(np.add.reduceat(np.exp(values - np.repeat(largest, counts)), starts)))


def _mean(logits: Floats, starts: Indices, counts: Indices) -> Floats:
    return np.asarray(np.add.reduceat(logits, starts) / counts)


def _noisy_or(logits: Floats, starts: Indices) -> Floats:
    none = np.add.reduceat(log_expit(-logits), starts)
    # log(1 - exp(none)) - none, without losing either end.
    return np.asarray(np.log(-np.expm1(np.minimum(none, -np.finfo(np.float64).tiny))) - none)


def _attention(logits: Floats, weights: Floats, starts: Indices, counts: Indices) -> Floats:
    share = np.exp(weights - np.repeat(_log_sum_exp(weights, starts, counts), counts))
    return np.asarray(np.add.reduceat(share * logits, starts))


def _top(logits: Floats, starts: Indices, counts: Indices) -> Floats:
    owner = np.repeat(np.arange(len(starts)), counts)
    # NaN sorts last, which here is first: it must not hide behind two numbers.
    order = np.lexsort((logits, owner))[::-1]
    ranked = logits[order][::-1]
    ends = starts + counts
    kept = np.minimum(counts, TOP)
    total = ranked[ends - 1] + np.where(counts > 1, ranked[np.maximum(ends - TOP, 0)], 0.0)
    return np.asarray(total / kept)


# What the squares give, each an equal partner of the overview: columns [columns, squares], and where bags start.
_RULES: Mapping[str, Callable[[Floats, Indices, Indices], tuple[Floats, ...]]] = {
    "mean": lambda v, starts, counts: (_mean(v[SQUARE_LOGIT], starts, counts),),
    "max": lambda v, starts, _: (np.maximum.reduceat(v[SQUARE_LOGIT], starts),),
    "noisy-or": lambda v, starts, _: (_noisy_or(v[SQUARE_LOGIT], starts),),
    "lse": lambda v, starts, counts: (
        (_log_sum_exp(LSE_SHARPNESS * v[SQUARE_LOGIT], starts, counts) - np.log(counts)) / LSE_SHARPNESS,
    ),
    "top2": lambda v, starts, counts: (_top(v[SQUARE_LOGIT], starts, counts),),
    "attention": lambda v, starts, counts: (_attention(v[SQUARE_LOGIT], v[SQUARE_MORE], starts, counts),),
    "blend": lambda v, starts, counts: (
        _mean(v[SQUARE_LOGIT], starts, counts),
        np.maximum.reduceat(v[SQUARE_MORE], starts),
    ),
}
