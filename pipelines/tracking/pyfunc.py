"""A registered bundle as a model of MLflow's: logged with a signature and an example, loaded by `mlflow.pyfunc`.

Nothing in it is unpickled or executed: its loader is this module, which has to be installed.
"""

import base64
import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

IMAGE, SCORE, POSITIVE = "image", "score", "positive"
_EXAMPLE = "input_example.json"


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


def log_model(
    client: "MlflowClient", name: str, folder: Path, bundle: str, *, experiment: str, run_id: str | None
) -> Any:
    """Log the files of `folder`, whose subfolder `bundle` is scored, and return MLflow's LoggedModel.

    `name` is one of its content: a model that a killed process has left under it is filled again. With `run_id` it is
    an output of that run.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema

    left = client.search_logged_models([experiment], filter_string=f"name = '{name}'")
    logged = next(iter(left), None) or client.create_logged_model(experiment, name, run_id, model_type="screenshots")
    model = Model(
        artifact_path=logged.artifact_location,
        run_id=run_id,
        model_id=logged.model_id,
        signature=ModelSignature(
            Schema([ColSpec("binary", IMAGE)]), Schema([ColSpec("double", SCORE), ColSpec("boolean", POSITIVE)])
        ),
    )
    loader = {"loader_module": __name__, "data": bundle, "python_version": platform.python_version()}
    model.add_flavor("python_function", **loader)
    # The smallest golden screenshot, as MLflow writes a table with bytes in it.
    if pictures := sorted((folder / bundle / "golden").glob("*.png"), key=lambda path: path.stat().st_size):
        picture = base64.b64encode(pictures[0].read_bytes()).decode()
        (folder / _EXAMPLE).write_text(json.dumps({"columns": [IMAGE], "data": [[picture]]}), encoding="utf-8")
        model.saved_input_example_info = {"artifact_path": _EXAMPLE, "type": "dataframe", "pandas_orient": "split"}
    model.save(folder / "MLmodel")
    client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    if run_id and logged.model_id not in {one.model_id for one in client.get_run(run_id).outputs.model_outputs}:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    return logged
