"""The names that the phone reads a bundle by, and the part of its contract that every reader needs."""

import math
from pathlib import Path

from steps.core.common.errors import UserError
from steps.core.common.files import read_json, sha256_file

BUNDLE, TFLITE_FILE, CONTRACT_FILE = "bundle", "model.tflite", "model.json"
# The model's one signature.
TILE = "tile"


def read_contract(bundle: Path) -> tuple[str, float]:
    """Return the sha256 of a bundle's model and its threshold.

    Raises UserError unless the contract is of that very model. It names no folder: a champion's is a temporary one, and
    what is said of it is written into a verdict.
    """
    contract, path = read_json(bundle / CONTRACT_FILE), bundle / TFLITE_FILE
    mend = "export the bundle again, or register it again if it was registered so"
    try:
        sha256, threshold = str(contract["sha256"]), float(contract["threshold"])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"the bundle's {CONTRACT_FILE} has no sha256 and threshold: {mend}") from None
    if not math.isfinite(threshold):
        raise UserError(f"the bundle's {CONTRACT_FILE}: its threshold is {threshold}: {mend}")
    if not path.is_file():
        raise UserError(f"the bundle has no {TFLITE_FILE}: {mend}")
    if (found := sha256_file(path)) != sha256:
        raise UserError(
            f"the bundle's {TFLITE_FILE} has sha256 {found[:12]}, but {CONTRACT_FILE} is about {sha256[:12]}: {mend}"
        )
    return sha256, threshold
