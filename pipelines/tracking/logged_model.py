"""A registered bundle as a model of MLflow's: with a signature and an example, loaded by `mlflow.pyfunc`.

Nothing in it is unpickled or executed: the loader is this project's own module, which has to be installed.
"""

import base64
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.tracking import pyfunc

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXAMPLE = "input_example.json"
_FIGURES = ("fpr", "fpr_upper", "tpr", "tpr_lower")


@dataclass(frozen=True, slots=True)
class Upload:
    """A model to be: `folder` holds all of it and its folder `bundle`, `name` is one of its content.

    `told` is what the registry knows of the version, figures among it.
    """

    name: str
    folder: Path
    bundle: str
    told: Mapping[str, str]
    sha256: str


@dataclass(frozen=True, slots=True)
class Logged:
    """A logged model: `source` is where its files are."""

    model_id: str
    run_id: str
    source: str


def log_model(client: "MlflowClient", run_id: str, upload: Upload) -> Logged:
    """Log a model as an output of the run; one that a killed process has left under its name is filled again."""
    from mlflow.entities import LoggedModelOutput, Metric
    from mlflow.models import Model
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema

    run = client.get_run(run_id)
    folder, told = upload.folder, upload.told
    left = client.search_logged_models([run.info.experiment_id], filter_string=f"name = '{upload.name}'")
    params = {key: told[key] for key in ("variant", "threshold", "tflite_bytes") if key in told}
    sha256 = {"tilegate.sha256": upload.sha256}
    logged = next(iter(left), None) or client.create_logged_model(
        run.info.experiment_id, upload.name, run_id, tags=sha256, params=params, model_type="screenshots"
    )
    model = Model(
        artifact_path=logged.artifact_location,
        run_id=run_id,
        model_id=logged.model_id,
        signature=ModelSignature(
            Schema([ColSpec("binary", pyfunc.IMAGE)]),
            Schema([ColSpec("double", pyfunc.SCORE), ColSpec("boolean", pyfunc.POSITIVE)]),
        ),
    )
    loader = {"loader_module": pyfunc.__name__, "data": upload.bundle, "python_version": platform.python_version()}
    model.add_flavor("python_function", **loader)
    if example := _example(folder / upload.bundle):
        (folder / EXAMPLE).write_text(json.dumps(example), encoding="utf-8")
        model.saved_input_example_info = {"artifact_path": EXAMPLE, "type": "dataframe", "pandas_orient": "split"}
    model.save(folder / "MLmodel")
    client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    if logged.model_id not in {output.model_id for output in run.outputs.model_outputs}:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    at = logged.creation_timestamp
    figures = [
        Metric(f"tflite/{key}", float(told[key]), at, 0, model_id=logged.model_id) for key in _FIGURES if key in told
    ]
    client.log_batch(run_id, metrics=figures)
    return Logged(str(logged.model_id), run_id, str(logged.artifact_location))


def _example(bundle: Path) -> dict[str, Any] | None:
    """Return the smallest golden screenshot as MLflow writes a table with bytes in it."""
    pictures = sorted((bundle / "golden").glob("*.png"), key=lambda path: path.stat().st_size)
    if not pictures:
        return None
    return {"columns": [pyfunc.IMAGE], "data": [[base64.b64encode(pictures[0].read_bytes()).decode()]]}
