"""MLflow's user interface over a home, served on loopback by this process, and the address of its first page.

MLflow lets whoever reaches its port make an experiment whose artefacts lie in any folder of its user, and then write
there. No experiment of ours is made that way, so such a request is refused.
"""

import errno
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipelines.tracking.database import artifact_root, database_uri, open_client
from pipelines.tracking.experiment import MODE, VIEW, VIEW_TAG
from steps.core.common.errors import UserError

HOST, DEFAULT_PORT = "127.0.0.1", 5000
_END_SECONDS = 10
_READING = {"GET", "HEAD", "OPTIONS"}
# What the pages ask for by POST because the question is long.
_QUESTIONS = {"search", "search-datasets", "graphql", "get-latest-versions", "metrics", "batchGetInfos"}
_PLACELESS = {"name", "tags"}
_LONGEST = 1 << 20


def executions_url(home: Path, name: str, *, port: int = DEFAULT_PORT) -> str:
    """Return the list of the executions in the experiment `name`; MLflow's own first page if nothing has run yet."""
    found = open_client(home).get_experiment_by_name(name)
    if found is None or found.lifecycle_stage == "deleted":
        return f"http://{HOST}:{port}/#/experiments?{MODE}"
    view = f"&viewStateShareKey={VIEW}" if VIEW_TAG in found.tags else ""
    return f"http://{HOST}:{port}/#/experiments/{found.experiment_id}/runs?{MODE}{view}"


def serve(home: Path, *, port: int, read_only: bool, ready: Callable[[], None]) -> None:
    """Serve the UI until Ctrl-C; SIGTERM ends the process. `ready` is called once it takes requests.

    Raises UserError if the port is taken.
    """
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        why = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror})"
        raise UserError(f"port {port} of {HOST} {why}: choose one with --port") from None
    with listening, suppress(KeyboardInterrupt):
        signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
        app = _app(home, read_only=read_only)
        import uvicorn

        ready()
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_END_SECONDS)
        uvicorn.Server(config).run([listening])


def _app(home: Path, *, read_only: bool) -> Any:
    """Return MLflow's application over the home's store: no telemetry, no background jobs, and with a guard."""
    open_client(home)
    root = artifact_root(home).as_uri()
    os.environ |= {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # What `mlflow server` gives its workers; the names are MLflow's internal ones, so its version is pinned.
        "_MLFLOW_SERVER_FILE_STORE": database_uri(home),
        "_MLFLOW_SERVER_REGISTRY_STORE": database_uri(home),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        # Without these two the UI would put artefacts of experiments made in the browser into the working folder.
        "_MLFLOW_SERVER_ARTIFACT_ROOT": root,
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": root,
    }
    from mlflow.server.fastapi_app import app
    from starlette.responses import JSONResponse

    async def guard(request: Any, call_next: Any) -> Any:
        method, path = request.method, request.scope["path"].rstrip("/")
        refusal = ""
        if read_only and method not in _READING and (method != "POST" or path.rpartition("/")[2] not in _QUESTIONS):
            refusal = "tilegate ui --read-only shows, and changes nothing"
        elif method == "POST" and path.endswith("/experiments/create") and not await _is_placeless(request):
            refusal = "the artefacts of an experiment lie in the home: make it with a name and tags alone"
        if refusal:
            return JSONResponse({"error_code": "PERMISSION_DENIED", "message": refusal}, 403)
        return await call_next(request)

    app.middleware("http")(guard)
    return app


async def _is_placeless(request: Any) -> bool:
    """Tell whether a request to make an experiment leaves to the server where its artefacts lie."""
    if int(request.headers.get("content-length", _LONGEST + 1)) > _LONGEST:
        return False
    try:
        asked = json.loads(await request.body())
        # MLflow takes what old clients send, JSON in a text of JSON.
        asked = json.loads(asked) if isinstance(asked, str) else asked
    except (ValueError, RecursionError):
        return False
    return isinstance(asked, dict) and asked.keys() <= _PLACELESS
