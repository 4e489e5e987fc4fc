"""The split of a group: for ever the same, whatever else is in the data."""

import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum

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


def splits_of(groups: Sequence[str]) -> list[Split]:
    """Return the split of each group; a group is hashed once, however many screenshots it has."""
    known = {group: split_of(group) for group in set(groups)}
    return [known[group] for group in groups]


def group_of(slices: Mapping[str, str], screenshot_id: str) -> str:
    """Return what may never cross splits: the given group, else the app, else the session, else the screenshot."""
    for key in GROUP_KEYS:
        if slices.get(key):
            return slices[key]
    return screenshot_id
