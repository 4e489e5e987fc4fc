"""`tilegate data decide` and `readmit`: people's decisions on screenshots, and refused rows mended, as a review."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.command import command
from pipelines.cli.data.catalogue import LabelledData, labelled_data_options
from pipelines.cli.options import FILE, decision_options
from steps.core.common.errors import UserError

if TYPE_CHECKING:
    from steps.core.dataset.tables import Quarantined

_NEXT = "Next          `tilegate data validate` shows what comes of it"


@command()
@click.argument("words", metavar="SHA256... LABEL", nargs=-1, required=True)
@click.option("--waive", metavar="RULE[,RULE]", default="", help="Rules to waive for them, instead of a label.")
@decision_options("decision")
@labelled_data_options
def decide(words: tuple[str, ...], waive: str, by: str, reason: str, data: LabelledData) -> None:
    """Decide on the LABEL of screenshots, given by the first six or more digits of their sha256.

    LABEL is 0, 1 or the name of a class; without --classes, as the last run on the catalogue was told. The decision
    becomes a batch of review: it goes before all labels, and the last one on a screenshot counts.
    """
    from pipelines.data.reviews import add_review, check_waived, decisions, screenshots_of

    if not waive and len(words) < 2:  # noqa: PLR2004 (one screenshot and its label)
        raise click.UsageError("screenshots and a LABEL are wanted, or screenshots and --waive")
    prefixes, label = (words, None) if waive else (words[:-1], data.label(words[-1]))
    found = screenshots_of(data.catalogue, prefixes, data.classes, data.attribute)
    entries = decisions(found, label=label, waive=check_waived(waive) if waive else "", by=by, reason=reason)
    added = add_review(data.catalogue, entries, by=by, note=reason, classes=data.classes, source="decide")
    what = f"waived {waive}" if label is None else f"label {label}, {data.names[label]}"
    for screenshot in found:
        click.echo(f"{screenshot[:12]}  {what}")
    click.echo(f"Batch         {added.batch.name}\n{_NEXT}")


@command()
@click.argument("places", metavar="BATCH:ROW...", nargs=-1, required=True)
@click.option("--label", help="The right label of all these rows: 0, 1 or the name of a class.")
@click.option("--file", type=FILE, help="The right file, of a single row.")
@decision_options("row", "mends it")
@labelled_data_options
def readmit(  # noqa: PLR0917 (Click passes them by name)
    places: tuple[str, ...], label: str | None, file: Path | None, by: str, reason: str, data: LabelledData
) -> None:
    """Bring refused rows back with what was wrong corrected, as a batch of review that replaces them.

    `tilegate data quarantine` lists them, and tells what each kind needs.
    """
    from pipelines.data.reviews import Mender, add_review, place_of

    if file and len(set(places)) > 1:
        raise click.UsageError("--file is the file of one row: readmit the others by themselves")
    number = None if label is None else data.label(label)
    mender = Mender(data.catalogue, data.classes, data.attribute, by, reason)
    mended = [mender.mend(_refused(data, *place_of(place)), label=number, file=file) for place in dict.fromkeys(places)]
    added = add_review(data.catalogue, mended, by=by, note=reason, classes=data.classes, source="readmit")
    for each in mended:
        names = f", without {', '.join(each.left_out)}" if each.left_out else ""
        values = each.columns
        click.echo(f"{values['replaces']}  {data.names[values['label']]}, {each.path[:12]}{names}")
    already = " holds exactly this already: nothing was added" if added.already else ""
    click.echo(f"Batch         {added.batch.name}{already}\n{_NEXT}")


def _refused(data: LabelledData, batch: str, row: int) -> "Quarantined":
    """Return the refused row of the newest run that knows its batch, else as the catalogue reads it."""
    from pipelines.data.validated_runs import find_stopped, validated_runs
    from steps.core.dataset.tables import Quarantined, read_quarantine

    catalogue = data.catalogue
    bucket = catalogue.store.path(catalogue.uri())
    stopped = find_stopped(data.home)
    for found in (*([stopped] if stopped else []), *validated_runs(data.home)):
        if batch not in {known.name for known in found.source.batches(bucket)}:
            continue
        if found.is_ad_hoc:
            raise UserError(
                f"{batch} is in no catalogue, its folder was named with --data: mend the folder itself, or "
                "`tilegate data add` it and readmit from there"
            )
        rows = read_quarantine(found.tables)
        rows = rows[(rows["batch"] == batch) & (rows["row"] == row)]
        if rows.empty:
            raise UserError(f"the run {found.run.id} did not refuse row {row} of {batch}: there is nothing to mend")
        return Quarantined(**{str(name): value for name, value in rows.iloc[0].items()})
    _, refused = catalogue.rows(catalogue.card(batch).batch, data.classes, data.attribute)
    found_row = next((each for each in refused if each.row == row), None)
    if found_row is None:
        raise UserError(
            f"row {row} of {batch} is refused for nothing that can be told before its image is opened: "
            "`tilegate data validate` first"
        )
    return found_row
