"""`tilegate data withdraw` and `erase`: labelled data taken back, on this machine or in AWS."""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.command import command
from pipelines.cli.data.catalogue import open_catalogue
from pipelines.cli.offers import warn_of_offers
from pipelines.cli.options import FILE, Place, decision_options, place_options
from pipelines.cli.output import FileProgress
from pipelines.data.clock import utc_now
from steps.core.common.errors import UserError
from steps.core.common.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from pipelines.data.erasure import Erased
    from pipelines.runs.executions import Executions
    from pipelines.storage.protocol import Copies, ObjectStore

_LEASE = timedelta(minutes=15)
_SHA256 = re.compile(r"[0-9a-f]{64}")


@command()
@click.argument("batch")
@decision_options("batch", "withdraws it")
@click.option("--undo", is_flag=True, help="Bring a withdrawn batch back.")
@place_options
def withdraw(batch: str, by: str, reason: str, place: Place, *, undo: bool) -> None:
    """Withdraw BATCH: from now on no snapshot has it, no run learns from it, and it is not added again.

    Its files stay, for earlier runs are about them; `tilegate data erase` removes screenshots for good.
    """
    from pipelines.data.snapshots import added_batches, current_dataset
    from pipelines.data.withdrawals import withdraw_batch

    with _opened(place, "withdraw data") as stores:
        known = [added.name for added in added_batches(stores.data)]
        if batch not in known:
            raise UserError(f"there is no batch {batch!r}; the newest are {', '.join(known[-3:]) or 'none'}")
        withdraw_batch(stores.data, batch, by=by, reason=reason, clock=utc_now, undo=undo)
        click.echo(f"{'Brought back' if undo else 'Withdrawn   '} {batch}")
        snapshot = current_dataset(stores.data)
        if snapshot is None:
            click.echo("Snapshot     no labelled data are left; `tilegate data add PATH` brings some")
        else:
            click.echo(f"Snapshot     {snapshot.uri}, {len(snapshot.batches):,} batches")
        if not undo:
            click.echo(f"Remains      its files in {stores.data.uri(f'labelled/{batch}/')}")
            warn_of_offers(_versions(place, [batch]), place)
    if snapshot:
        click.echo("Next         the next night or run learns from this snapshot")


@command()
@click.argument("screenshots", metavar="SHA256...", nargs=-1)
@click.option("--file", type=FILE, help="A text file with a sha256 a line.")
@decision_options("digest", "erases them")
@place_options
def erase(screenshots: tuple[str, ...], file: Path | None, by: str, reason: str, place: Place) -> None:
    """Erase screenshots, by their whole sha256: files, tiles, facts, thumbnails, scores, here or in AWS.

    It cannot be undone. What remains is the digest with name and reason, so that it is never taken in again. If it is
    interrupted, repeat it.
    """
    from pipelines.data.erasure import erase as erase_everywhere
    from pipelines.data.snapshots import current_dataset

    wanted = {word.lower() for word in (*screenshots, *(_listed(file) if file else ()))}
    if not wanted:
        raise click.UsageError("screenshots are wanted, or --file")
    progress = FileProgress()
    with _opened(place, "erase data") as stores, stores.alone():
        if running := stores.executions.executing():
            raise UserError(f"{running} is executing and may hold the screenshots: erase them after it has ended")
        erased = erase_everywhere(
            stores.data,
            stores.everywhere,
            wanted,
            by=by,
            reason=reason,
            clock=utc_now,
            progress=lambda done: progress("Looked at", done, 0),
        )
        _report(erased)
        warn_of_offers(_versions(place, erased.batches), place)
        snapshot = current_dataset(stores.data)
        click.echo(f"Snapshot     {snapshot.uri if snapshot else 'no labelled data are left'}")
    click.echo("Next         a run learns from this snapshot; its facts and tiles of those batches are made anew")


def _listed(file: Path) -> Iterator[str]:
    """Yield the digests of a text file; raises UserError for a line that is none."""
    for number, line in enumerate(file.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        word = line.strip().lower()
        if not word or word.startswith("#"):
            continue
        if not _SHA256.fullmatch(word):
            raise UserError(f"{file}, line {number}: {word[:80]!r} is no sha256 of 64 hexadecimal digits")
        yield word


def _report(erased: "Erased") -> None:
    for record in erased.records:
        held = ", ".join(record.batches) or "no batch had it: it is kept out from now on"
        click.echo(f"Erased       {record.what} ({held}), {printable(str(record))}")
    for (what, where), count in sorted(erased.removed.items()):
        click.echo(f"Removed      {count:>6,} {what}, {printable(where)}")
    if not erased.removed:
        click.echo("Removed      nothing: no copy is left here")
    click.echo("Remains      the digest with name and reason, and its rows in labels files and plans: names, labels")
    click.echo("             pages written with --html elsewhere, the delivered folder and backups are not known here")


@dataclass(frozen=True, slots=True)
class _Stores:
    """`data` are the labelled data, `everywhere` all places where a picture of them can be.

    `alone` keeps others from what goes badly with removing: finishing a batch, holding a night.
    """

    data: "ObjectStore"
    everywhere: "Collection[Copies]"
    executions: "Executions"
    alone: "Callable[[], AbstractContextManager[object]]"


@contextmanager
def _opened(place: Place, action: str) -> Iterator[_Stores]:
    """Open a place's data; `action` is for errors of AWS: "withdraw data"."""
    if place.is_local:
        from pipelines.definition.settings import Settings
        from pipelines.runs.local_run import LocalExecutions
        from pipelines.storage.folder import FolderCopies

        catalogue = open_catalogue(place.home)
        yield _Stores(
            data=catalogue.data,
            everywhere=[FolderCopies(place.home)],
            executions=LocalExecutions(place.home, Settings()),
            alone=catalogue.lock,
        )
        return
    from pipelines.aws.errors import aws_errors
    from pipelines.data.erasure import ARTIFACT_PREFIXES, DATA_PREFIXES
    from pipelines.nightly.lease import leased
    from pipelines.runs.sagemaker_executions import SageMakerExecutions
    from pipelines.storage.s3 import S3Copies, S3Objects

    deployment = place.deployment()
    named = deployment.environment
    with aws_errors(f"{action} in {place.environment}"):
        s3 = deployment.client("s3")
        data, artifacts = S3Objects(s3, named.data_bucket), S3Objects(s3, named.artifact_bucket)
        yield _Stores(
            data=data,
            everywhere=[
                S3Copies(s3, named.data_bucket, DATA_PREFIXES),
                S3Copies(s3, named.artifact_bucket, ARTIFACT_PREFIXES),
            ],
            executions=SageMakerExecutions(deployment.client("sagemaker"), named.pipeline_arn),
            alone=lambda: leased(artifacts, _LEASE, utc_now),
        )


def _versions(place: Place, batches: Collection[str]) -> list[int]:
    """Write which registered versions have learnt from some batches, and return their numbers."""
    from pipelines.registry.opening import open_registry

    learnt = list(open_registry(*place).versions_that_learnt(batches))
    for version, is_known in learnt:
        champion = ", the champion" if version.is_champion else ""
        unknown = "" if is_known else ": nobody knows on which data it was trained"
        click.echo(f"Model        version {version.version}, {version.status}{champion}{unknown}")
    if learnt:
        click.echo("             have learnt from them and stay as they are; `tilegate models reject` takes one back")
    else:
        click.echo("Models       no registered version has learnt from them")
    return [version.version for version, _ in learnt]
