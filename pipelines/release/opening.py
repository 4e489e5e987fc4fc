"""The publisher of an environment, and who does what a person asks: this process, or a Lambda function in AWS."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.environment import LOCAL
from pipelines.locks import exclusive
from pipelines.registry.journal import Journal
from pipelines.registry.opening import open_registry, registry_of
from pipelines.release.channels import Channels
from pipelines.release.publisher import Offer, Publisher, perform
from pipelines.release.signers import KmsSigner, LocalSigner
from pipelines.release.store import ReleaseStore
from pipelines.release.verify import CHANNELS
from pipelines.storage.folder import FolderObjects
from steps.core.common.errors import UserError

if TYPE_CHECKING:
    from pipelines.aws.session import Deployment

RELEASES_FOLDER, KEYS_FOLDER = "releases", "keys"
Perform = Callable[[Mapping[str, Any]], str]


def publisher_of(deployment: "Deployment", trusted: Iterable[bytes] = ()) -> Publisher:
    """Return the publisher of an environment in AWS; only one role may write and sign with it.

    `trusted` are the public keys in PEM that the operator names beside the environment's own.
    """
    from pipelines.storage.s3 import S3Objects

    environment, opened = deployment.environment, registry_of(deployment)
    signer = KmsSigner(deployment.client("kms"), environment.signing_key_alias)
    store = ReleaseStore(S3Objects(deployment.client("s3"), environment.release_bucket), signer, trusted)
    # No role may delete in that bucket, so its log cannot be cut off.
    return Publisher(opened.registry, opened.group, store, Channels(store))


def local_publisher(home: Path) -> Publisher:
    """Return the publisher of this machine: releases in `<home>/releases`, the key in `<home>/keys`."""
    opened = open_registry(LOCAL, None, home)
    store = ReleaseStore(_releases(home), LocalSigner(home / KEYS_FOLDER), trusted_keys(home))
    return Publisher(opened.registry, opened.group, store, Channels(store, memory=Journal(home)))


def trusted_keys(home: Path) -> list[bytes]:
    """Return the public keys in PEM that the operator of this machine names: `<home>/keys/trusted/*.pem`."""
    return [path.read_bytes() for path in sorted((home / KEYS_FOLDER / "trusted").glob("*.pem"))]


def open_publisher(environment: str, region: str | None, home: Path) -> tuple[Publisher, Perform]:
    """Return a publisher to read with, and the function that does what a request asks for.

    In AWS that is the publisher's Lambda function, because nobody else may sign.
    """
    if environment == LOCAL:
        publisher = local_publisher(home)
        return publisher, lambda request: _perform_alone(home, publisher, request)
    from pipelines.aws.session import open_environment

    deployment = open_environment(environment, region)
    publisher = publisher_of(deployment, trusted_keys(home))
    return publisher, lambda request: _invoke(deployment, {**request, "identity": deployment.identity})


def current_offers(environment: str, region: str | None, home: Path) -> list[Offer]:
    """Return what the channels of an environment offer; raises UserError for channels that are not as signed."""
    # Nothing is opened, and no key made, for a machine that has released nothing.
    if environment == LOCAL and not (home / RELEASES_FOLDER / CHANNELS).is_dir():
        return []
    return [*open_publisher(environment, region, home)[0].offers()]


def _releases(home: Path) -> FolderObjects:
    return FolderObjects(home / RELEASES_FOLDER, RELEASES_FOLDER)


def _perform_alone(home: Path, publisher: Publisher, request: Mapping[str, Any]) -> str:
    """Do what a request asks for while no other process publishes, and first remove what killed ones have left."""
    with exclusive(home.resolve() / "releases.lock"):
        _releases(home).remove_parts()
        publisher.remove_unfinished(but=request.get("version"))
        return perform(publisher, request)


def _invoke(deployment: "Deployment", request: Mapping[str, Any]) -> str:
    answer = deployment.call("publisher", request)
    if "state" not in answer:
        raise UserError(str(answer.get("error", answer)))
    return str(answer["state"])
