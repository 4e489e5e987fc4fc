"""MLflow's user interface with a guard before it: `mlflow ui --app-name tilegate` or `tilegate-read-only`.

MLflow lets whoever reaches its port make an experiment whose artefacts lie in any folder of its user, and then write
there. No experiment of ours is made that way.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_READING = {"GET", "HEAD", "OPTIONS"}
# What the pages ask for by POST because the question is long.
_QUESTIONS = {"search", "search-datasets", "graphql", "get-latest-versions", "metrics", "batchGetInfos"}
_PLACELESS = {"name", "tags"}
_READ_ONLY = "tilegate ui --read-only shows, and changes nothing"
_ELSEWHERE = "the artefacts of an experiment lie in the home: make it with a name and tags alone"
_LONGEST = 1 << 20

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def create_app() -> Any:
    """Return the ASGI application that refuses an experiment whose artefacts lie in a place of its own."""
    return _guarded(read_only=False)


def create_read_only_app() -> Any:
    """Return the ASGI application that refuses everything but what reads."""
    return _guarded(read_only=True)


def _guarded(*, read_only: bool) -> Any:
    from mlflow.server.fastapi_app import app as mlflow_app

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan" or not read_only:
                await mlflow_app(scope, receive, send)
        elif read_only and not _reads(scope["method"], scope["path"]):
            await _refuse(send, _READ_ONLY)
        elif scope["method"] == "POST" and scope["path"].rstrip("/").endswith("/experiments/create"):
            body = await _whole(receive)
            if not _is_placeless(body):
                await _refuse(send, _ELSEWHERE)
            else:
                await mlflow_app(scope, _again(body, receive), send)
        else:
            await mlflow_app(scope, receive, send)

    return app


def _reads(method: str, path: str) -> bool:
    return method in _READING or (method == "POST" and path.rstrip("/").rpartition("/")[2] in _QUESTIONS)


def _is_placeless(body: bytes) -> bool:
    try:
        asked = json.loads(body)
        # MLflow takes what old clients send, JSON in a text of JSON.
        asked = json.loads(asked) if isinstance(asked, str) else asked
    except (ValueError, RecursionError):
        return False
    return isinstance(asked, dict) and asked.keys() <= _PLACELESS


async def _whole(receive: Receive) -> bytes:
    body, more = b"", True
    while more and len(body) <= _LONGEST:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read already once more."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return left.pop() if left else await receive()

    return give


async def _refuse(send: Send, why: str) -> None:
    answer = json.dumps({"error_code": "PERMISSION_DENIED", "message": why}).encode()
    await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": answer})
