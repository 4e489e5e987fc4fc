"""The loader of a bundle for `mlflow.pyfunc`: from the bytes of screenshots to scores and decisions, by LiteRT."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

IMAGE, SCORE, POSITIVE = "image", "score", "positive"


class Scorer:
    """A bundle that scores; raises UserError if it is none."""

    def __init__(self, bundle: Path) -> None:
        from steps.core.common.files import read_json
        from steps.device.contract import CONTRACT_FILE, TFLITE_FILE
        from steps.device.runtime import LiteModel

        self._model = LiteModel(bundle / TFLITE_FILE, 1)
        self._threshold = float(read_json(bundle / CONTRACT_FILE)["threshold"])

    def predict(self, screenshots: "pd.DataFrame", params: dict[str, Any] | None = None) -> "pd.DataFrame":  # noqa: ARG002 (MLflow's signature)
        """Score PNG, JPEG or WebP files, given as bytes in the column `image`; raises ImageRefusedError."""
        import pandas as pd

        from steps.core.tiles.decode import decode_image

        scores = [self._model.screenshot(decode_image(bytes(data))[0])[0] for data in screenshots[IMAGE]]
        return pd.DataFrame({SCORE: scores, POSITIVE: [score > self._threshold for score in scores]})


def _load_pyfunc(path: str) -> Scorer:
    return Scorer(Path(path))
