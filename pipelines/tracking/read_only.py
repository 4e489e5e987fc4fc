"""MLflow's user interface without what changes anything: `mlflow ui --app-name tilegate-read-only`."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_READING = {"GET", "HEAD", "OPTIONS"}
# What the pages ask for by POST because the question is long.
_QUESTIONS = {"search", "search-datasets", "graphql", "get-latest-versions", "metrics", "batchGetInfos"}
_ANSWER = b'{"error_code": "PERMISSION_DENIED", "message": "tilegate ui --read-only shows, and changes nothing"}'

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def create_app() -> Any:
    """Return the ASGI application that answers as MLflow does what only reads, and refuses everything else with 403."""
    from mlflow.server.fastapi_app import app as mlflow_app

    async def app(scope: MutableMapping[str, Any], receive: Any, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and _reads(scope["method"], scope["path"])):
            await mlflow_app(scope, receive, send)
        elif scope["type"] == "http":
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": _ANSWER})

    return app


def _reads(method: str, path: str) -> bool:
    return method in _READING or (method == "POST" and path.rstrip("/").rpartition("/")[2] in _QUESTIONS)
