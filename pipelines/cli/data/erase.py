"""`tilegate data erase`: a screenshot that nobody is to keep, removed for good."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.command import command
from pipelines.cli.data.progress import FileProgress
from pipelines.cli.decision import decision_options
from pipelines.cli.environment import environment_options
from pipelines.cli.home import home_option

if TYPE_CHECKING:
    from pipelines.data.erasure import Erased

_SHA256 = re.compile(r"[0-9a-f]{64}")


@command()
@click.argument("screenshots", metavar="SHA256...", nargs=-1)
@click.option(
    "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A text file with a sha256 a line."
)
@decision_options("digest", "erases them")
@home_option
@environment_options
def erase(  # noqa: PLR0917 (Click passes them by name)
    screenshots: tuple[str, ...],
    file: Path | None,
    by: str,
    reason: str,
    home: Path,
    environment: str,
    region: str | None,
) -> None:
    """Erase screenshots, by their whole sha256: files, tiles, facts, thumbnails, scores, here or in AWS.

    It cannot be undone. What remains is the digest with name and reason, so that it is never taken in again. If it is
    interrupted, repeat it.
    """
    from pipelines.cli.data.place import opened_place, tell_versions
    from pipelines.cli.offers import warn_of_offers
    from pipelines.data.clock import utc_now
    from pipelines.data.erasure import erase as erase_everywhere
    from pipelines.data.snapshots import current_dataset
    from steps.core.common.errors import UserError

    wanted = {word.lower() for word in (*screenshots, *(_listed(file) if file else ()))}
    if not wanted:
        raise click.UsageError("screenshots are wanted, or --file")
    progress = FileProgress(sys.stdout)
    with opened_place(environment, region, home, "erase data") as place, place.alone():
        if running := place.executions.executing():
            raise UserError(f"{running} is executing and may hold the screenshots: erase them after it has ended")
        erased = erase_everywhere(
            place.data,
            place.everywhere,
            wanted,
            by=by,
            reason=reason,
            clock=utc_now,
            progress=lambda done: progress("Looked at", done, 0),
        )
        _tell(erased)
        warn_of_offers(tell_versions(place, erased.batches), environment, region, home)
        snapshot = current_dataset(place.data)
        click.echo(f"Snapshot     {snapshot.uri if snapshot else 'no labelled data are left'}")
    click.echo("Next         a run learns from this snapshot; its facts and tiles of those batches are made anew")


def _listed(file: Path) -> Iterator[str]:
    """Yield the digests of a text file; raises UserError for a line that is none."""
    from steps.core.common.errors import UserError

    for number, line in enumerate(file.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        word = line.strip().lower()
        if not word or word.startswith("#"):
            continue
        if not _SHA256.fullmatch(word):
            raise UserError(f"{file}, line {number}: {word[:80]!r} is no sha256 of 64 hexadecimal digits")
        yield word


def _tell(erased: "Erased") -> None:
    from steps.core.common.text import printable

    for record in erased.records:
        held = ", ".join(record.batches) or "no batch had it: it is kept out from now on"
        click.echo(f"Erased       {record.what} ({held}), {printable(str(record))}")
    for (what, where), count in sorted(erased.removed.items()):
        click.echo(f"Removed      {count:>6,} {what}, {printable(where)}")
    if not erased.removed:
        click.echo("Removed      nothing: no copy is left here")
    click.echo("Remains      the digest with name and reason, and its rows in labels files and plans: names, labels")
    click.echo("             pages written with --html elsewhere, the delivered folder and backups are not known here")
