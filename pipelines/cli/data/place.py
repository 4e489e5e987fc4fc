"""Where a command that takes data back does so: this machine, or a deployment in AWS."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.environment import LOCAL

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from pipelines.registry.opening import OpenedRegistry
    from pipelines.runs.executions import Executions
    from pipelines.storage.protocol import Copies, ObjectStore

_LEASE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class DataPlace:
    """`data` are the labelled data, `everywhere` all places where a picture of them can be.

    `alone` keeps others from what goes badly with removing: finishing a batch, holding a night.
    """

    data: "ObjectStore"
    everywhere: "Collection[Copies]"
    executions: "Executions"
    registry: "Callable[[], OpenedRegistry]"
    alone: "Callable[[], AbstractContextManager[object]]"


@contextmanager
def opened_place(environment: str, region: str | None, home: Path, doing: str) -> Iterator[DataPlace]:
    """Open this machine's data or those of an environment; `doing` is for errors of AWS: "withdraw data"."""
    if environment == LOCAL:
        from pipelines.cli.data.options import open_catalogue
        from pipelines.definition.settings import Settings
        from pipelines.registry.opening import open_registry
        from pipelines.runs.local_executions import LocalExecutions
        from pipelines.storage.folder import FolderCopies

        catalogue = open_catalogue(home)
        yield DataPlace(
            data=catalogue.data,
            everywhere=[FolderCopies(home.resolve())],
            executions=LocalExecutions(home, Settings()),
            registry=lambda: open_registry(LOCAL, None, home),
            alone=catalogue.lock,
        )
        return
    from pipelines.aws.session import aws_errors, open_environment
    from pipelines.data.clock import utc_now
    from pipelines.data.erasure import ARTIFACT_PREFIXES, DATA_PREFIXES
    from pipelines.nightly.lease import leased
    from pipelines.registry.opening import registry_of
    from pipelines.runs.sagemaker_executions import SageMakerExecutions
    from pipelines.storage.s3 import S3Copies, S3Objects

    deployment = open_environment(environment, region)
    named = deployment.environment
    with aws_errors(f"{doing} in {environment}"):
        s3 = deployment.client("s3")
        data, artifacts = S3Objects(s3, named.data_bucket), S3Objects(s3, named.artifact_bucket)
        yield DataPlace(
            data=data,
            everywhere=[
                S3Copies(s3, named.data_bucket, DATA_PREFIXES),
                S3Copies(s3, named.artifact_bucket, ARTIFACT_PREFIXES),
            ],
            executions=SageMakerExecutions(deployment.client("sagemaker"), named.pipeline_arn),
            registry=lambda: registry_of(deployment),
            alone=lambda: leased(artifacts, _LEASE, utc_now),
        )


def tell_versions(place: DataPlace, batches: Collection[str]) -> list[int]:
    """Write which registered versions have learnt from some batches, and return their numbers."""
    learnt = list(place.registry().versions_that_learnt(batches))
    for version, is_known in learnt:
        champion = ", the champion" if version.is_champion else ""
        unknown = "" if is_known else ": nobody knows on which data it was trained"
        click.echo(f"Model        version {version.version}, {version.status}{champion}{unknown}")
    if learnt:
        click.echo("             have learnt from them and stay as they are; `tilegate models reject` takes one back")
    else:
        click.echo("Models       no registered version has learnt from them")
    return [version.version for version, _ in learnt]
