"""`tilegate data decide`: a person's decision on screenshots, which goes before all labels."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.command import command
from pipelines.cli.data.options import labels_options, open_catalogue, reading_of
from pipelines.cli.decision import decision_options
from pipelines.cli.home import home_option

if TYPE_CHECKING:
    from steps.core.dataset.classes import Classes


@command()
@click.argument("words", metavar="SHA256... LABEL", nargs=-1, required=True)
@click.option("--waive", metavar="RULE[,RULE]", default="", help="Rules to waive for them, instead of a label.")
@decision_options("decision")
@labels_options
@home_option
def decide(  # noqa: PLR0917 (Click passes them by name)
    words: tuple[str, ...], waive: str, by: str, reason: str, classes: str, label_attribute: str, home: Path
) -> None:
    """Decide on the LABEL of screenshots, given by the first six or more digits of their sha256.

    LABEL is 0, 1 or the name of a class; without --classes, as the last run on the catalogue was told. The decision
    becomes a batch of review: it goes before all labels, and the last one on a screenshot counts.
    """
    from pipelines.data.reviews import add_review, check_waived, decisions, screenshots_of

    if waive:
        prefixes, label = words, None
    elif len(words) > 1:
        prefixes, label = words[:-1], words[-1]
    else:
        raise click.UsageError("screenshots and a LABEL are wanted, or screenshots and --waive")
    catalogue = open_catalogue(home)
    parsed, attribute = reading_of(home, classes, label_attribute)
    number = None if label is None else label_of(parsed, label)
    found = screenshots_of(catalogue, prefixes, parsed, attribute)
    entries = decisions(found, label=number, waive=check_waived(waive) if waive else "", by=by, reason=reason)
    added = add_review(catalogue, entries, by=by, note=reason, classes=parsed, source="decide")
    for screenshot in found:
        what = f"waived {waive}" if number is None else f"label {number}, {(parsed.negative, parsed.positive)[number]}"
        click.echo(f"{screenshot[:12]}  {what}")
    click.echo(f"Batch         {added.batch.name}")
    click.echo("Next          `tilegate data validate` shows what comes of it")


def label_of(classes: "Classes", label: str) -> int:
    """Return 0 or 1 for what a person typed; raises UserError that names the classes."""
    from steps.core.common.errors import UserError
    from steps.core.dataset.classes import LabelError

    try:
        return classes.index(label)
    except LabelError as error:
        raise UserError(f"{error}; --classes NEG,POS tells other names") from None
