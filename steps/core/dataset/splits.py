"""The split of a group: for ever the same, whatever else is in the data."""

import hashlib
from collections.abc import Mapping
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


def group_of(slices: Mapping[str, str]) -> str | None:
    """Return what a row says may never cross splits: its group, else its app, else its session, None without any."""
    return next((slices[key] for key in GROUP_KEYS if slices.get(key)), None)
