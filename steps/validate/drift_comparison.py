"""The new screenshots against others, by what is known of their pixels: whether they still look alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from steps.validate.appearance import LOOK_COLUMNS
from steps.validate.drift import Drift, SliceDrift, compare, compare_slices
from steps.validate.shortcuts import size_names

NUMBERS = ("short side", "aspect", *LOOK_COLUMNS)
CATEGORIES = ("size", "orientation", "format")


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What came of one comparison; `base` and `new` hold the compared features, a row each screenshot.

    rule: the name of the one whose limit it is held against. against: what the base is, for a sentence.
    """

    rule: str
    against: str
    base: pd.DataFrame
    new: pd.DataFrame
    drifts: Sequence[Drift]
    slices: Sequence[SliceDrift] = ()

    @property
    def drifted(self) -> list[Drift]:
        return [drift for drift in self.drifts if drift.drifted]

    @property
    def drifted_slices(self) -> list[SliceDrift]:
        return [found for found in self.slices if found.drift.drifted]

    @property
    def text(self) -> str:
        return f"{len(self.new):,} screenshots against the {len(self.base):,} of {self.against}."


def features_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what is compared, from columns width, height, format and those of `Look`; group and slices stay."""
    sides = frame[["width", "height"]]
    wide = frame["width"] > frame["height"]
    return frame.assign(
        **{
            "short side": sides.min(axis=1).astype("float64"),
            "aspect": frame["width"] / frame["height"],
            "size": size_names(frame),
            "orientation": wide.map({True: "landscape", False: "portrait"}),
        }
    )


def compare_screenshots(
    rule: str, against: str, base: pd.DataFrame, new: pd.DataFrame, slices: Sequence[str] = (), *, limit: float
) -> Comparison:
    """Compare two samples of screenshots; both have the columns of `features_of`, and may have a `group`.

    `slices` names columns of both within whose values they are compared as well.
    """
    base, new = features_of(base), features_of(new)
    features = [*NUMBERS, *CATEGORIES]
    drifts = compare(base, new, features, limit=limit)
    return Comparison(rule, against, base, new, drifts, compare_slices(base, new, slices, features, limit=limit))
