"""Predictions of a bundle's model: score, decision, and what each tile adds, as a phone computes them."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from steps.core.common.files import write_text
from steps.core.tiles.decode import read_image
from steps.core.tiles.resize import Pixels
from steps.core.tiles.tiling import plan_tiles
from steps.device.contract import TFLITE_FILE, read_contract
from steps.device.runtime import LiteModel

_QUALITY = 90


@dataclass(frozen=True, slots=True)
class TileEvidence:
    """A tile in pixels of the screenshot, and what it adds to the logit; the first one is the whole screenshot."""

    left: int
    top: int
    width: int
    height: int
    evidence: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """`score` is 0 to 1; `positive` is the contract's decision, score > threshold."""

    width: int
    height: int
    score: float
    positive: bool
    tiles: tuple[TileEvidence, ...]

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


class Predictor:
    """The model of a bundle's folder. Raises UserError if it is not the one that the bundle's contract describes."""

    def __init__(self, bundle: Path, threads: int = 1) -> None:
        self.sha256, self.threshold = read_contract(bundle)
        self._model = LiteModel(bundle / TFLITE_FILE, threads)

    def __call__(self, image: Path) -> tuple[Prediction, Pixels]:
        """Decode a screenshot and show it to the model; raises ImageRefusedError for what no phone would show it."""
        pixels = read_image(image)[0]
        return self.predict(pixels), pixels

    def predict(self, pixels: Pixels) -> Prediction:
        """Show a decoded screenshot, (height, width, 3) uint8 RGB, to the model."""
        height, width = pixels.shape[:2]
        score, evidence = self._model.screenshot(pixels)
        boxes = plan_tiles(width, height)
        tiles = tuple(TileEvidence(**asdict(box), evidence=float(e)) for box, e in zip(boxes, evidence, strict=True))
        return Prediction(width, height, score, score > self.threshold, tiles)


def write_page(
    path: Path, title: str, threshold: float, shown: Sequence[tuple[str, Prediction, Pixels]], refused: Iterable[str]
) -> None:
    """Write one self-contained page: each screenshot with its tiles, the redder the more they speak for positive.

    The pictures are made of the decoded pixels: the files' own bytes are not handed on.
    """
    from PIL import Image

    from steps.core.html import environment
    from steps.core.html.album import data_uri

    shots = []
    for name, prediction, pixels in shown:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY)
        most = max(abs(tile.evidence) for tile in prediction.tiles)
        shots.append(
            {
                "name": name,
                "prediction": prediction,
                "picture": data_uri(buffer.getvalue(), "image/jpeg"),
                "heat": [(tile, abs(tile.evidence) / most if most else 0.0) for tile in prediction.tiles[1:]],
            }
        )
    template = environment("steps.device").get_template("predictions.html.j2")
    write_text(path, template.render(title=title, threshold=threshold, shots=shots, refused=list(refused)))
