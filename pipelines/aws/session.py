"""A deployment in AWS, opened with the credentials that are at hand."""

import json
import threading
from collections.abc import Mapping
from typing import Any

from pipelines.aws.errors import aws_errors
from pipelines.environment import Environment
from steps.core.common.errors import UserError

__all__ = ["Deployment", "aws_errors", "open_environment"]

_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 5, 60, 5


class Deployment:
    """`environment` gives every name, `identity` is the ARN of whoever calls."""

    def __init__(self, environment: Environment, identity: str, session: Any) -> None:
        self.environment, self.identity = environment, identity
        self._session = session
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def client(self, service: str) -> Any:
        """Return boto3's client of a service, the same one every time; threads may share it."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = _client(self._session, service)
            return self._clients[service]

    def call(self, function: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Call one of the functions, such as the publisher, and return its answer; raises UserError if it fails."""
        name = self.environment.function(function)
        with aws_errors(f"call {name}"):
            answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(dict(request)).encode())
            result = json.loads(answer["Payload"].read() or b"{}")
        if answer.get("FunctionError"):
            raise UserError(f"{name} failed ({result.get('errorMessage', result)}); its log tells more")
        return dict(result)


def open_environment(name: str, region: str | None = None) -> Deployment:
    """Open dev or prod in a region, by default that of the AWS configuration; the account is the caller's.

    Raises UserError without usable credentials or a region.
    """
    import boto3
    from botocore.exceptions import NoRegionError

    with aws_errors(f"open {name}"):
        session = boto3.Session(region_name=region)
        if not session.region_name:
            raise NoRegionError
        caller = _client(session, "sts").get_caller_identity()
    partition = str(caller["Arn"]).split(":")[1]
    return Deployment(
        Environment(name, str(caller["Account"]), str(session.region_name), partition), str(caller["Arn"]), session
    )


def _client(session: Any, service: str) -> Any:
    from botocore.config import Config

    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
    )
    return session.client(service, config=config)
