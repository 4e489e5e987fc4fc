"""The folder of pretrained weights that a job gets: one file, or a mark that there are none."""

from pathlib import Path

from steps.core.common.errors import UserError

RANDOM_FILE = "initialisation.json"
WEIGHTS_SUFFIX = ".weights.h5"


def pretrained_weights(folder: Path) -> Path | None:
    """Return the weights in a folder, or None where it says that there are none; raises UserError for anything else."""
    found = sorted(folder.glob(f"*{WEIGHTS_SUFFIX}")) if folder.is_dir() else []
    if len(found) == 1:
        return found[0]
    if not found and (folder / RANDOM_FILE).is_file():
        return None
    names = ", ".join(p.name for p in found) or "none"
    raise UserError(f"{folder} holds {names}: one *{WEIGHTS_SUFFIX}, or {RANDOM_FILE} for random weights, is wanted")
