"""`tilegate data readmit`: refused rows come back, mended."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.command import command
from pipelines.cli.data.decide import label_of
from pipelines.cli.data.options import labels_options, open_catalogue, reading_of
from pipelines.cli.decision import decision_options
from pipelines.cli.home import home_option

if TYPE_CHECKING:
    from pipelines.data.catalogue import Catalogue
    from steps.core.dataset.classes import Classes
    from steps.core.dataset.tables import Quarantined


@command()
@click.argument("places", metavar="BATCH:ROW...", nargs=-1, required=True)
@click.option("--label", help="The right label of all these rows: 0, 1 or the name of a class.")
@click.option(
    "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The right file, of a single row."
)
@decision_options("row", "mends it")
@labels_options
@home_option
def readmit(  # noqa: PLR0917 (Click passes them by name)
    places: tuple[str, ...],
    label: str | None,
    file: Path | None,
    by: str,
    reason: str,
    classes: str,
    label_attribute: str,
    home: Path,
) -> None:
    """Bring refused rows back with what was wrong corrected, as a batch of review that replaces them.

    `tilegate data quarantine` lists them, and tells what each kind needs.
    """
    from pipelines.data.reviews import Mender, add_review, place_of

    if file and len(set(places)) > 1:
        raise click.UsageError("--file is the file of one row: readmit the others by themselves")
    catalogue = open_catalogue(home)
    parsed, attribute = reading_of(home, classes, label_attribute)
    number = None if label is None else label_of(parsed, label)
    mender = Mender(catalogue, parsed, attribute, by, reason)
    mended = [
        mender.mend(_refused(home, catalogue, place_of(place), parsed, attribute), label=number, file=file)
        for place in dict.fromkeys(places)
    ]
    added = add_review(catalogue, mended, by=by, note=reason, classes=parsed, source="readmit")
    for each in mended:
        names = f", without {', '.join(each.left_out)}" if each.left_out else ""
        label_name = (parsed.negative, parsed.positive)[each.columns["label"]]
        click.echo(f"{each.columns['replaces']}  {label_name}, {each.path[:12]}{names}")
    already = " holds exactly this already: nothing was added" if added.already else ""
    click.echo(f"Batch         {added.batch.name}{already}")
    click.echo("Next          `tilegate data validate` shows what comes of it")


def _refused(
    home: Path, catalogue: "Catalogue", place: tuple[str, int], classes: "Classes", attribute: str | None
) -> "Quarantined":
    """Return the refused row of the newest run that knows its batch, else as the catalogue reads it."""
    from pipelines.data.validated_runs import find_stopped, validated_runs
    from steps.core.common.errors import UserError
    from steps.core.dataset.tables import Quarantined, read_quarantine

    batch, row = place
    bucket = catalogue.store.path(catalogue.uri())
    stopped = find_stopped(home)
    for found in (*([stopped] if stopped else []), *validated_runs(home)):
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
    _, refused = catalogue.rows(catalogue.card(batch).batch, classes, attribute)
    found_row = next((each for each in refused if each.row == row), None)
    if found_row is None:
        raise UserError(
            f"row {row} of {batch} is refused for nothing that can be told before its image is opened: "
            "`tilegate data validate` first"
        )
    return found_row
