"""The command of MLflow's user interface, and the addresses of tracked executions in it."""

import sys
from pathlib import Path

from pipelines.tracking.database import database_uri
from pipelines.tracking.locations import artifact_root

DEFAULT_PORT = 5000


def run_url(experiment_id: str, run_id: str, *, port: int = DEFAULT_PORT) -> str:
    """Return the page of a run in the UI that `ui_command` starts."""
    return f"http://127.0.0.1:{port}/#/experiments/{experiment_id}/runs/{run_id}"


def ui_command(home: Path, *, port: int = DEFAULT_PORT, read_only: bool = False) -> list[str]:
    """Return the command of MLflow's UI over the home's store, on loopback only; run it with `ui_environment`."""
    root = artifact_root(home).as_uri()
    return [
        *(sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", database_uri(home)),
        # Without these two the UI would put artefacts of experiments made in the browser into the working folder.
        *("--default-artifact-root", root, "--artifacts-destination", root),
        *("--app-name", "tilegate-read-only" if read_only else "tilegate"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
    ]


def ui_environment() -> dict[str, str]:
    """Return what the UI's process adds to its environment: no telemetry, no background job runner."""
    return {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
