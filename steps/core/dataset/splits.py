"""Groups and their splits: for ever the same, and a picture never lies on both sides of a split.

Screenshots are taken in the order in which they were added, so that a later batch never moves an earlier screenshot:
one without a group of its own joins the earliest picture that it nearly equals; one whose own group puts it into
another split than a picture that it nearly equals is kept out, because either side of the split would know it.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# A change of this or of SHARES moves screenshots between splits, and makes every earlier test result worthless.
_SALT = b"tilegate-split-1:"
GROUP_KEYS = ("group", "app", "session")


class Split(StrEnum):
    """Train and validation shape the model, calibration sets its threshold, test alone judges it."""

    TRAIN = "train"
    VALIDATION = "validation"
    CALIBRATION = "calibration"
    TEST = "test"


DEVELOPMENT = (Split.TRAIN, Split.VALIDATION)
SHARES: Mapping[Split, float] = {
    Split.TRAIN: 0.5,
    Split.VALIDATION: 0.1,
    Split.CALIBRATION: 0.2,
    Split.TEST: 0.2,
}


def split_of(group: str) -> Split:
    """Return the split of a group: a uniform hash of its name against the shares 50/10/20/20 %."""
    digest = hashlib.sha256(_SALT + group.encode()).digest()
    position = int.from_bytes(digest[:8]) / 2**64
    for split, share in SHARES.items():
        position -= share
        if position < 0:
            return split
    return Split.TEST


def group_of(slices: Mapping[str, str]) -> str | None:
    """Return what a row says may never cross splits: its group, else its app, else its session, None without any."""
    return next((slices[key] for key in GROUP_KEYS if slices.get(key)), None)


@dataclass(frozen=True, slots=True)
class Grouping:
    """`groups` and `splits` of every screenshot, and `leaks`: position -> the earlier one that it would leak to."""

    groups: tuple[str, ...]
    splits: tuple[Split, ...]
    leaks: dict[int, int]


def group_screenshots(ids: Sequence[str], given: Sequence[str | None], pairs: "npt.NDArray[np.int64]") -> Grouping:
    """Settle the groups of screenshots in the order of their adding.

    `given` are the groups that the data state, None where they state none. `pairs` is int64 [n, 2], positions of
    near-duplicates. Screenshots that are kept out for other reasons take part like all others: whether a label is
    contested changes from night to night, and must not move what lies beside it.
    """
    neighbours: dict[int, list[int]] = defaultdict(list)
    for first, second in map(sorted, pairs.tolist()):
        neighbours[second].append(first)
    groups = [own or screenshot for own, screenshot in zip(given, ids, strict=True)]
    known = {group: split_of(group) for group in set(groups)}
    splits = [known[group] for group in groups]
    leaks: dict[int, int] = {}
    for at in sorted(neighbours):
        earlier = [n for n in sorted(neighbours[at]) if n not in leaks]
        if not earlier:
            continue
        if given[at] is None:
            groups[at], splits[at] = groups[earlier[0]], splits[earlier[0]]
        across = next((n for n in earlier if splits[n] != splits[at]), None)
        if across is not None:
            leaks[at] = across
    return Grouping(tuple(groups), tuple(splits), leaks)


def crossings(groups: Sequence[str], splits: Sequence[str], pairs: "npt.NDArray[np.int64]") -> tuple[int, int]:
    """Count what lies in more than one split, over accepted screenshots: (groups, near-duplicate pairs)."""
    found: dict[str, set[str]] = defaultdict(set)
    for group, split in zip(groups, splits, strict=True):
        found[group].add(split)
    crossing = sum(splits[a] != splits[b] for a, b in pairs.tolist())
    return sum(len(seen) > 1 for seen in found.values()), crossing
