"""The UI really starts on loopback over the home's store."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

import pytest

from pipelines.executor.events import ExecutionFinished
from pipelines.tracking.ui import executions_url, serve
from steps.core.common.errors import UserError

pytestmark = pytest.mark.integration

TILEGATE = Path(sys.executable).parent / "tilegate"


def test_the_ui_opens_the_executions_and_not_the_pages_of_language_models(played):
    page = "http://127.0.0.1:5000/#/experiments"
    assert executions_url(played.home, "screenshots") == f"{page}?workflowType=machine_learning"
    played.play(played.started(), ExecutionFinished("Succeeded", None, None, 1.0))
    number = played.client.get_experiment_by_name("screenshots").experiment_id
    wanted = f"{page}/{number}/runs?workflowType=machine_learning&viewStateShareKey=executions"
    assert executions_url(played.home, "screenshots") == wanted


@pytest.fixture(params=[False, True], ids=["writable", "read-only"])
def ui(request, played, tmp_path):
    """Start the UI over a home with an execution; give its port, and whether it is read-only. Nothing stays of it."""
    played.play(played.started(), ExecutionFinished("Succeeded", None, None, 1.0))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["ui", "--home", played.home, "--port", str(port), *(["--read-only"] if request.param else [])]
    with (tmp_path / "said").open("w") as said:
        # What a shell started in the background has Ctrl-C ignored, and so would its children.
        heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        ui = subprocess.Popen([TILEGATE, *words], cwd=tmp_path, stdout=said, stderr=said, preexec_fn=heard)  # noqa: PLW1509 (a signal handler alone)
        yield port, request.param
        ui.send_signal(signal.SIGINT if request.param else signal.SIGTERM)
        assert ui.wait(30) == (0 if request.param else 128 + signal.SIGTERM)
    text = (tmp_path / "said").read_text()
    assert f"MLflow on http://127.0.0.1:{port}/#/experiments" in text
    assert "Traceback" not in text
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)


def test_the_ui_starts_and_shows_the_execution_and_can_be_told_to_change_nothing(ui, played, tmp_path):
    port, read_only = ui
    address = f"http://127.0.0.1:{port}"
    assert "<title>MLflow</title>" in _get(f"{address}/", until=time.monotonic() + 60)
    with pytest.raises(ConnectionRefusedError):  # on loopback's one address only
        socket.create_connection(("127.0.0.2", port), 1)
    with pytest.raises(UserError, match=f"port {port} of 127.0.0.1 is taken by another program: .* --port"):
        serve(played.home, port=port, read_only=read_only, ready=lambda: None)
    api, soon = f"{address}/ajax-api/2.0/mlflow", time.monotonic() + 10
    found = json.loads(_get(f"{api}/experiments/get-by-name?experiment_name=screenshots", until=soon))["experiment"]
    runs = json.loads(_ask("POST", f"{api}/runs/search", {"experiment_ids": [found["experiment_id"]]})[1])["runs"]
    run = runs[0]["info"]["run_id"]
    changes = {
        ("POST", f"{api}/experiments/create"): {"name": "new"},
        ("POST", f"{api}/runs/set-tag"): {"run_id": run, "key": "a", "value": "b"},
        ("PUT", f"{address}/api/2.0/mlflow-artifacts/artifacts/x.txt"): {},
    }
    refused = [_ask(method, url, body)[0] == 403 for (method, url), body in changes.items()]
    assert refused == [read_only] * len(changes)
    assert (played.home / "mlartifacts" / "x.txt").exists() != read_only
    for place in ("artifact_location", "artifactLocation"):
        asked = {"name": f"in {place}", place: tmp_path.as_uri()}
        for body in (asked, json.dumps(asked)):
            status, said = _ask("POST", f"{api}/experiments/create", body)
            assert (status, "PERMISSION_DENIED" in said) == (403, True)
    assert not (tmp_path / "mlruns").exists()


def _ask(method: str, url: str, body: dict | str) -> tuple[int, str]:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def _get(url: str, *, until: float) -> str:
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
                return answer.read().decode()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
