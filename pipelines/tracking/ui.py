"""MLflow's user interface over a home: its process, and the addresses of tracked executions in it."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from pipelines.tracking.database import database_path, database_uri
from pipelines.tracking.experiment import VIEW, VIEW_TAG
from pipelines.tracking.locations import artifact_root
from steps.core.common.errors import UserError

DEFAULT_PORT = 5000
# MLflow's pages for language models have no place for what we record.
MODE = "workflowType=machine_learning"
_START_SECONDS, _END_SECONDS = 120.0, 10.0


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of a run's pages in MLflow, as they open from any of its pages."""

    experiment_id: str
    run_id: str

    @property
    def run(self) -> str:
        return f"#/experiments/{self.experiment_id}/runs/{self.run_id}?{MODE}"

    def file(self, place: str) -> str:
        return f"#/experiments/{self.experiment_id}/runs/{self.run_id}/artifacts/{place}?{MODE}"

    def compared(self, run_ids: Sequence[str]) -> str:
        asked = {"runs": json.dumps(run_ids), "experiments": json.dumps([self.experiment_id])}
        return f"#/compare-runs?{urlencode(asked)}&{MODE}"

    def version(self, group: str, version: str) -> str:
        return f"#/models/{group}/versions/{version}?{MODE}"


def run_url(experiment_id: str, run_id: str, *, port: int = DEFAULT_PORT) -> str:
    """Return the page of a run in the UI that `ui_command` starts."""
    return f"http://127.0.0.1:{port}/{Links(experiment_id, run_id).run}"


def executions_url(home: Path, name: str, *, port: int = DEFAULT_PORT) -> str:
    """Return the list of the executions in the experiment `name`; MLflow's own first page if nothing has run yet."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{database_path(home)}?mode=ro", uri=True)) as store:
        known = "SELECT experiment_id FROM experiments WHERE name = ? AND lifecycle_stage = 'active'"
        for (found,) in store.execute(known, (name,)).fetchall():
            tagged = "SELECT 1 FROM experiment_tags WHERE experiment_id = ? AND key = ?"
            view = f"&viewStateShareKey={VIEW}" if store.execute(tagged, (found, VIEW_TAG)).fetchone() else ""
            return f"http://127.0.0.1:{port}/#/experiments/{found}/runs?{MODE}{view}"
    return f"http://127.0.0.1:{port}/#/experiments?{MODE}"


def ui_command(home: Path, *, port: int = DEFAULT_PORT, read_only: bool = False) -> list[str]:
    """Return the command of MLflow's UI over the home's store, on loopback only; run it with `ui_environment`."""
    root = artifact_root(home).as_uri()
    return [
        *(sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", database_uri(home)),
        # Without these two the UI would put artefacts of experiments made in the browser into the working folder.
        *("--default-artifact-root", root, "--artifacts-destination", root),
        *("--app-name", "tilegate-read-only" if read_only else "tilegate"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"),
    ]


def ui_environment() -> dict[str, str]:
    """Return what the UI's process adds to its environment: no telemetry, no background job runner."""
    return {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def serve(home: Path, *, port: int, read_only: bool, ready: Callable[[], None]) -> int:
    """Run the UI until it ends by itself or this process is asked to end, and return its exit code, 0 after Ctrl-C.

    `ready` is called once it answers. No process is left behind. Raises UserError if the port is taken.
    """
    if _answers(port):
        raise UserError(f"port {port} of 127.0.0.1 is taken by another program: choose one with --port")
    command = ui_command(home, port=port, read_only=read_only)
    server = subprocess.Popen(command, env={**os.environ, **ui_environment()}, start_new_session=True)
    with _ended(server.pid):
        try:
            until = time.monotonic() + _START_SECONDS
            while server.poll() is None and not _answers(port) and time.monotonic() < until:
                time.sleep(0.2)
            if server.poll() is None:
                ready()
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                server.wait(_END_SECONDS)


def _answers(port: int) -> bool:
    with socket.socket() as asking:
        asking.settimeout(1)
        return asking.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _ended(group: int) -> Iterator[None]:
    """End the processes of a group with the block, which SIGTERM and SIGHUP end as Ctrl-C does."""

    def asked(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, asked)
    try:
        yield
    finally:
        until = time.monotonic() + _END_SECONDS
        with suppress(ProcessLookupError):
            while time.monotonic() < until:
                os.killpg(group, 0)
                time.sleep(0.1)
            os.killpg(group, signal.SIGKILL)
