"""The UI really starts on loopback over the home's store."""

import os
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

from pipelines.executor.events import ExecutionFinished
from pipelines.tracking.ui import run_url, ui_command, ui_environment

pytestmark = pytest.mark.integration


def test_the_ui_listens_on_loopback_only(tmp_path):
    command = ui_command(tmp_path, port=5001)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert f"sqlite:///{tmp_path}/mlflow.db" in command
    assert run_url("1", "r", port=5001) == "http://127.0.0.1:5001/#/experiments/1/runs/r"


def test_the_ui_starts_and_shows_the_execution(played, tmp_path):
    played.play(played.started(), ExecutionFinished("Succeeded", None, None, 1.0))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ui = subprocess.Popen(
        ui_command(played.home, port=port),
        env={**os.environ, **ui_environment()},
        cwd=tmp_path,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        began = time.monotonic()
        assert "<title>MLflow</title>" in _get(f"http://127.0.0.1:{port}/", until=began + 60)
        print(f"the UI answered after {time.monotonic() - began:.1f} s")
        search = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get-by-name?experiment_name=screenshots"
        assert "screenshots" in _get(search, until=time.monotonic() + 10)
    finally:
        os.killpg(ui.pid, signal.SIGTERM)
        ui.wait(20)
    assert not (tmp_path / "mlruns").exists()


def _get(url: str, *, until: float) -> str:
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
                return answer.read().decode()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
