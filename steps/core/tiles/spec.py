"""The preprocessing spec: how pixels become the model's input, small enough to print, hash and ship to the phone."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from steps.core.common.errors import UserError
from steps.core.common.files import read_json, write_json

FILE_NAME = "preprocessing.json"


@dataclass(frozen=True, slots=True)
class PreprocessingSpec:
    """Shared by training, evaluation, conversion and the phone; a change of any field makes other tiles.

    `tile_size` is the side of the model's square input in pixels (32 to 512). The other fields name rules:
    `tile_plan` that of `steps.core.tiles.tiling`, `resize` that of `steps.core.tiles.resize`, `storage` how a tile is
    kept, and `pixels` what the model takes (RGB, 0 to 255; it normalises inside).
    """

    tile_size: int = 224
    tile_plan: str = "overview-and-squares-1"
    resize: str = "halve-then-bilinear-3"
    storage: str = "jpeg-q95-444"
    pixels: str = "rgb-0-255"

    def __post_init__(self) -> None:
        low, high = 32, 512
        if not low <= self.tile_size <= high:
            raise UserError(f"tile size {self.tile_size}: {low} to {high} pixels are wanted")
        for field in fields(self):
            known, given = field.default, getattr(self, field.name)
            if field.name != "tile_size" and given != known:
                raise UserError(f"preprocessing rule {field.name}={given!r}: this version knows only {known!r}")

    @property
    def digest(self) -> str:
        """The sha256 of the spec's canonical JSON."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        wanted = {field.name for field in fields(cls)}
        if set(value) != wanted:
            raise UserError(f"preprocessing spec with {sorted(value)}: exactly {sorted(wanted)} are wanted")
        return cls(**value)

    def write(self, folder: Path) -> None:
        write_json(folder / FILE_NAME, self.to_dict())

    @classmethod
    def read(cls, folder: Path) -> Self:
        return cls.from_dict(read_json(folder / FILE_NAME))


def check_spec(model: PreprocessingSpec, tiles: PreprocessingSpec) -> None:
    """Raise UserError unless a model was trained on tiles of this very spec."""
    if model != tiles:
        raise UserError(
            f"the model was trained on tiles of spec {model.digest[:12]} and these are of spec {tiles.digest[:12]}: "
            "make tiles and model with the same settings"
        )


def part_key(spec: PreprocessingSpec, part: str) -> str:
    """Return where a part's tiles lie in the store, without a trailing slash."""
    return f"{spec.digest[:16]}/{part}"
