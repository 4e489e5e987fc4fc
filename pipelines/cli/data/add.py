"""`tilegate data add`: labelled screenshots into the store."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.command import command
from pipelines.cli.data.catalogue import attribute_of, labels_options, open_catalogue
from pipelines.cli.options import Place, place_options
from pipelines.cli.output import FileProgress
from steps.core.common.text import printable
from steps.core.dataset.classes import Classes, as_option

if TYPE_CHECKING:
    from pipelines.data.add import Added

_KINDS = ("labels", "review", "reference")
_REASONS_SHOWN = 5


@command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(_KINDS),
    default=_KINDS[0],
    show_default=True,
    help="Labels; a reviewer's decisions, which go before labels; or unlabelled pictures to compare with.",
)
@click.option("--labels", metavar="FILE", help="The labels file in PATH, where there are several.")
@labels_options
@click.option("--by", default="", metavar="NAME", help="Who adds it; kept with the batch.")
@click.option("--note", default="", metavar="TEXT", help="What it is; kept with the batch.")
@click.option("--again", is_flag=True, help="Add it also if just this was withdrawn.")
@place_options
def add(path: Path, classes: str, label_attribute: str, place: Place, **how: Any) -> None:
    """Add PATH, a folder or a labels file in one, to the labelled data, as one immutable batch.

    Files are copied to this machine's store, or with --env to an environment's data bucket; data that are there
    already are not added again.
    """
    options = {
        **how,
        "classes": Classes.parse(classes),
        "attribute": attribute_of(label_attribute),
        "progress": FileProgress(),
    }
    if place.is_local:
        _report(_add(partial(open_catalogue(place.home).add, path), options))
        click.echo("Next         `tilegate run` learns from all batches; `tilegate data status` lists them")
        return
    from pipelines.aws.errors import aws_errors
    from pipelines.data.add import add_source
    from pipelines.storage.s3 import S3Objects

    deployment = place.deployment()
    with aws_errors(f"add data to {place.environment}"):
        data = S3Objects(deployment.client("s3"), deployment.environment.data_bucket)
        _report(_add(partial(add_source, data, path), options))
    click.echo(f"Next         the nights of {place.environment} learn from all batches")


def _add(add: Callable[..., "Added"], options: dict[str, Any]) -> "Added":
    """Add; where two class names are unknown, a person at a terminal is asked which is the positive class."""
    from steps.core.dataset.label_names import LabelNamesError

    try:
        return add(**options)
    except LabelNamesError as error:
        if not error.names or options["classes"].given or not _is_terminal():
            raise
        click.echo(error)
        first, second = error.names
        positive = click.prompt("Positive class", type=click.Choice(error.names))
        classes = Classes.parse(as_option((second, first) if positive == first else (first, second)))
    click.echo(f"Classes      0 is {classes.negative}, 1 is {classes.positive}")
    return add(**{**options, "classes": classes})


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _report(added: "Added") -> None:
    usable = added.rows - len(added.refused)
    labels = "".join(f", {count:,} {name}" for name, count in added.per_label.items() if count)
    click.echo(f"Rows         {usable:,} of {added.rows:,} usable{labels}")
    if labels and (none := [name for name, count in added.per_label.items() if not count]):
        click.echo(f"  note       no row is {printable(none[0], 80)}: a run needs both classes")
    for row in added.refused[:_REASONS_SHOWN]:
        click.echo(
            f"  refused    row {row.row}, {printable(row.source_ref, 60)!r}: {row.reason}, {printable(row.detail)}"
        )
    if len(added.refused) > _REASONS_SHOWN:
        click.echo(f"  refused    {len(added.refused) - _REASONS_SHOWN:,} more")
    click.echo(
        f"Screenshots  {added.screenshots:,}, of which {added.screenshots - added.new_screenshots:,} were there already"
    )
    if added.erased:
        click.echo(f"Left out     {added.erased:,} files of screenshots that somebody has erased")
    already = " holds exactly this already: nothing was added" if added.already else ""
    click.echo(f"Batch        {added.batch.name}{already}")
