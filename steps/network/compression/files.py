"""Places of compressed models in a model archive; to ask does not take the seconds that TFMOT takes to import."""

from pathlib import Path

_FOLDER = "variants"


def variant_path(folder: Path, kind: str) -> Path:
    """Return where a model archive's folder keeps a compressed model."""
    return folder / _FOLDER / f"{kind}.h5"
