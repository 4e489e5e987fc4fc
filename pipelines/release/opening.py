"""The publisher of an environment, and who does what a person asks: this process, or a Lambda function in AWS."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.registry.opening import open_registry, registry_of
from pipelines.release.channels import Channels
from pipelines.release.publisher import Publisher
from pipelines.release.requests import perform
from pipelines.release.signers import KmsSigner, LocalSigner
from pipelines.release.store import ReleaseStore
from steps.core.common.errors import UserError

if TYPE_CHECKING:
    from pipelines.aws.session import Deployment

RELEASES_FOLDER, KEYS_FOLDER = "releases", "keys"
Perform = Callable[[Mapping[str, Any]], str]


def publisher_of(deployment: "Deployment") -> Publisher:
    """Return the publisher of an environment in AWS; only one role may write and sign with it."""
    from pipelines.storage.s3 import S3Objects

    environment, opened = deployment.environment, registry_of(deployment)
    store = ReleaseStore(
        S3Objects(deployment.client("s3"), environment.release_bucket),
        KmsSigner(deployment.client("kms"), environment.signing_key_alias),
    )
    return Publisher(opened.registry, opened.group, store, Channels(store))


def local_publisher(home: Path) -> Publisher:
    """Return the publisher of this machine: releases in `<home>/releases`, the key in `<home>/keys`."""
    from pipelines.environment import LOCAL
    from pipelines.storage.folder import FolderObjects

    opened = open_registry(LOCAL, None, home)
    folder = home / RELEASES_FOLDER
    store = ReleaseStore(FolderObjects(folder, RELEASES_FOLDER), LocalSigner(home / KEYS_FOLDER))
    return Publisher(opened.registry, opened.group, store, Channels(store))


def open_publisher(environment: str, region: str | None, home: Path) -> tuple[Publisher, Perform]:
    """Return a publisher to read with, and the function that does what a request asks for.

    In AWS that is the publisher's Lambda function, because nobody else may sign.
    """
    from pipelines.environment import LOCAL

    if environment == LOCAL:
        publisher = local_publisher(home)
        return publisher, lambda request: perform(publisher, request)
    from pipelines.aws.session import open_environment

    deployment = open_environment(environment, region)
    return publisher_of(deployment), lambda request: _invoke(deployment, request)


def _invoke(deployment: "Deployment", request: Mapping[str, Any]) -> str:
    from pipelines.aws.errors import aws_errors

    name = deployment.environment.function("publisher")
    with aws_errors(f"ask {name} to {request['action']}"):
        answer = deployment.client("lambda").invoke(FunctionName=name, Payload=json.dumps(dict(request)).encode())
        told = json.loads(answer["Payload"].read() or b"{}")
    if answer.get("FunctionError"):
        raise UserError(f"{name} failed ({told.get('errorMessage', told)}); its log tells more")
    if "state" not in told:
        raise UserError(str(told.get("error", told)))
    return str(told["state"])
