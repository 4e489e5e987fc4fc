"""The loader of a bundle for `mlflow.pyfunc`: from the bytes of screenshots to scores and decisions, by LiteRT."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

IMAGE, SCORE, POSITIVE = "image", "score", "positive"


class Scorer:
    """A bundle that scores; raises UserError if its model is not the one that its contract describes."""

    def __init__(self, bundle: Path) -> None:
        from steps.device.prediction import Predictor

        self._predictor = Predictor(bundle)

    def predict(self, screenshots: "pd.DataFrame", params: dict[str, Any] | None = None) -> "pd.DataFrame":  # noqa: ARG002 (MLflow's signature)
        """Score PNG, JPEG or WebP files, given as bytes in the column `image`; raises ImageRefusedError."""
        import pandas as pd

        from steps.core.tiles.decode import decode_image

        found = [self._predictor.predict(decode_image(bytes(data))[0]) for data in screenshots[IMAGE]]
        return pd.DataFrame({SCORE: [one.score for one in found], POSITIVE: [one.positive for one in found]})


def _load_pyfunc(path: str) -> Scorer:
    return Scorer(Path(path))
