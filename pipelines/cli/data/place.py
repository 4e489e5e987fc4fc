"""Where a command that takes data back does so: this machine, or a deployment in AWS."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.environment import LOCAL

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from pipelines.registry.opening import OpenedRegistry
    from pipelines.runs.executions import Executions
    from pipelines.storage.protocol import ObjectStore


@dataclass(frozen=True, slots=True)
class DataPlace:
    """`data` are the labelled data, `everything` all stores in which a picture of them can be.

    `alone` keeps everybody else from finishing a batch, and from removing.
    """

    data: "ObjectStore"
    everything: "Collection[ObjectStore]"
    executions: "Executions"
    registry: "Callable[[], OpenedRegistry]"
    alone: "Callable[[], AbstractContextManager[None]]"


@contextmanager
def opened_place(environment: str, region: str | None, home: Path, doing: str) -> Iterator[DataPlace]:
    """Open this machine's data or those of an environment; `doing` is for errors of AWS: "withdraw data"."""
    from pipelines.storage.folder import FolderObjects

    if environment == LOCAL:
        from pipelines.cli.data.options import open_catalogue
        from pipelines.definition.settings import Settings
        from pipelines.registry.opening import open_registry
        from pipelines.runs.local_executions import LocalExecutions

        catalogue = open_catalogue(home)
        yield DataPlace(
            data=catalogue.data,
            everything=[FolderObjects(home, home.name)],
            executions=LocalExecutions(home, Settings()),
            registry=lambda: open_registry(LOCAL, None, home),
            alone=catalogue.lock,
        )
        return
    from contextlib import nullcontext

    from pipelines.aws.session import aws_errors, open_environment
    from pipelines.registry.opening import registry_of
    from pipelines.runs.sagemaker_executions import SageMakerExecutions
    from pipelines.storage.s3 import S3Objects

    deployment = open_environment(environment, region)
    named = deployment.environment
    with aws_errors(f"{doing} in {environment}"):
        data, artifacts = (S3Objects(deployment.client("s3"), b) for b in (named.data_bucket, named.artifact_bucket))
        yield DataPlace(
            data=data,
            everything=[data, artifacts],
            executions=SageMakerExecutions(deployment.client("sagemaker"), named.pipeline_arn),
            registry=lambda: registry_of(deployment),
            alone=nullcontext,
        )


def tell_versions(place: DataPlace, batches: Collection[str]) -> None:
    """Write which registered versions have learnt from some batches."""
    from pipelines.registry.learning import versions_that_learnt

    learnt = list(versions_that_learnt(place.registry(), batches))
    for version, is_known in learnt:
        champion = ", the champion" if version.is_champion else ""
        unknown = "" if is_known else ": nobody knows on which data it was trained"
        click.echo(f"Model        version {version.version}, {version.status}{champion}{unknown}")
    if learnt:
        click.echo("             have learnt from them and stay as they are; `tilegate models reject` takes one back")
    else:
        click.echo("Models       no registered version has learnt from them")
