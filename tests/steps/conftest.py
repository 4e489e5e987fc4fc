"""A small labelled batch, validated and tiled by the real programs, shared by the tests of the later steps."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from steps import preprocess, validate
from steps.core.snapshot import Batch, write_snapshot

TILE_SIZE = 32


class Workspace:
    """Folders as a job sees them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.labelled = root / "labelled"
        self.snapshot = root / "snapshot"
        self.dataset = root / "dataset"
        self.development = root / "development"
        self.tiles = root / "tiles"
        self.message = root / "message"

    def draw(self, count: int) -> None:
        """Draw screenshots whose red tells their number, and whose tiles (three each) tell their place in green."""
        batch = Batch("b-test", "m.manifest", "0" * 64)
        folder = self.labelled / batch.name
        folder.mkdir(parents=True)
        lines = []
        for number in range(count):
            pixels = np.zeros((120, 40, 3), np.uint8)
            pixels[..., 0] = number
            for place in range(3):
                pixels[40 * place : 40 * place + 40, :, 1] = 50 * place
            pixels[..., 2] = 200 * (number % 2)
            Image.fromarray(pixels).save(folder / f"{number}.png")
            record = {"source-ref": f"{number}.png", "k": number % 2, "k-metadata": {}, "app": f"app-{number // 2}"}
            lines.append(json.dumps(record))
        (folder / batch.labels).write_text("\n".join(lines))
        objects = [f"{batch.name}/{path.name}" for path in folder.iterdir()]
        write_snapshot(self.snapshot, [batch], "s3://bucket/labelled/", objects)

    def validate(self) -> int:
        outputs = ["--output", str(self.dataset), "--development", str(self.development)]
        inputs = ["--dataset", str(self.snapshot), "--labelled", str(self.labelled)]
        return validate.main([*inputs, *outputs, "--message", str(self.message), "--workers", "1"])

    def preprocess(self, tiles: Path, workers: int = 1) -> int:
        words = ["--dataset", self.dataset, "--labelled", self.labelled, "--output", tiles, "--message", self.message]
        return preprocess.main([*map(str, words), "--tile-size", str(TILE_SIZE), "--workers", str(workers)])


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    """Sixty screenshots of thirty apps: both classes in every split."""
    made = Workspace(tmp_path_factory.mktemp("workspace"))
    made.draw(60)
    assert made.validate() == 0
    assert made.preprocess(made.tiles) == 0
    return made
