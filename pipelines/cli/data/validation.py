"""`tilegate data validate` and `quarantine`: whether data may be learned from, and what mends the refused rows."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.command import command
from pipelines.cli.config import config_option
from pipelines.cli.options import NEW_FILE, home_option, json_option
from pipelines.cli.output import print_json
from pipelines.cli.parameters import parameter_options
from pipelines.cli.run import data_options, request_of
from pipelines.definition.settings import Settings
from steps.core.common.errors import UserError
from steps.core.common.text import printable
from steps.core.dataset.classes import AUTO, Classes

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.data.validated_runs import ValidatedRun
    from pipelines.executor.runs import RunSummary

_AD_HOC = "These data are in no batch of the catalogue: mend their folder, or `tilegate data add` it first."


@command()
@config_option
@data_options
@parameter_options("Backbone", "Classes", "LabelAttribute", "MaxLabelChanges", "MaxFpr", "MinTpr")
@home_option
def validate(**given: Any) -> None:
    """Hold the labelled data against every rule, as a run does before it learns from them; nothing is trained.

    With --max-fpr or --min-tpr the data have to be able to prove them. A later `tilegate run` with the same parameters
    takes the result over. Exit code 0: good to learn from; 1: not.
    """
    from pipelines.runs.local_run import validate_data

    sys.exit(0 if validate_data(request_of(given), Settings()) else 1)


@command()
@click.option("--run", metavar="RUN", help="The run whose refused rows are meant; else the last one that validated.")
@click.option("--reason", metavar="REASON", help="Rows of one reason only.")
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Most rows to list.")
@click.option("--html", type=NEW_FILE, help="Write a page with their pictures to this file.")
@click.option("--csv", type=NEW_FILE, help="Write all of them to this table.")
@json_option
@home_option
def quarantine(  # noqa: PLR0917 (Click passes them by name)
    run: str | None, reason: str | None, limit: int, html: Path | None, csv: Path | None, home: Path, *, as_json: bool
) -> None:
    """List the rows that a run could not use, with the reason and what to type to mend each kind."""
    from pipelines.data.quarantine import write_csv
    from pipelines.data.validated_runs import find_stopped, find_validated, stopped_since
    from steps.core.dataset.tables import read_quarantine

    found = find_stopped(home, run) or find_validated(home, run)
    rows = _chosen(read_quarantine(found.tables), reason)
    if as_json:
        names = ["batch", "row", "reason", "sha256", "source_ref", "detail"]
        documents = rows[names].astype(object).where(rows[names].notna(), None).to_dict("records")
        print_json({"run": found.run.id, "snapshot": found.source.snapshot, "rows": documents})
    else:
        _report(found, rows, limit, None if run else stopped_since(home, found))
    if html:
        _write_page(html, found, rows, home)
        click.echo(f"Page      {html}", err=as_json)
    if csv:
        write_csv(csv, rows)
        click.echo(f"Table     {csv}", err=as_json)


def _report(found: "ValidatedRun", rows: "pd.DataFrame", limit: int, stopped: "RunSummary | None") -> None:
    from steps.validate.rules import RULES

    click.echo(f"Run       {found.run.id}, snapshot {found.source.snapshot[:12]}")
    if found.run.failed_step:
        click.echo(f"          stopped: {printable(found.run.reason or '', 300)}")
    elif stopped:
        click.echo(f"          {stopped.id} after it failed in ValidateData: {printable(stopped.reason or '', 300)}")
    click.echo(f"Refused   {len(rows):,} {'row' if len(rows) == 1 else 'rows'}")
    for name, count in rows["reason"].value_counts().items():
        rule = RULES[str(name)]
        remedy = None if found.is_ad_hoc else rule.remedy
        text = remedy.text if remedy else f"Mend the folder. {_AD_HOC}"
        click.echo(f"{count:>9,}  {name}: {rule.title}. {text}")
        if command := remedy.command("BATCH:ROW", "SHA256", ("0", "1")) if remedy else "":
            click.echo(f"{'':>11}{command}")
    for row in rows.head(limit).itertuples():
        digits = f" {str(row.sha256)[:12]}" if row.sha256 else ""
        source = printable(str(row.source_ref), 80)
        click.echo(f"{row.batch}:{row.row}  {row.reason}{digits}  {source}: {printable(str(row.detail), 300)}")
    if len(rows) > limit:
        click.echo(f"and {len(rows) - limit:,} more; --limit N lists them, --csv FILE writes all")


def _chosen(rows: "pd.DataFrame", reason: str | None) -> "pd.DataFrame":
    from steps.validate.rules import RULES, Severity

    if reason is None:
        return rows
    known = [rule.name for rule in RULES.values() if rule.severity is Severity.QUARANTINE]
    if reason not in known:
        raise UserError(f"no row is refused for the reason {reason!r}: one of {', '.join(known)} is wanted")
    return rows[rows["reason"] == reason]


def _write_page(path: Path, found: "ValidatedRun", rows: "pd.DataFrame", home: Path) -> None:
    from pipelines.data.quarantine import Pictures, shown_rows, write_quarantine_page
    from pipelines.definition.settings import Settings
    from pipelines.executor.store import LocalStore
    from steps.core.dataset.rows import common_classes

    bucket = LocalStore(home / "store").path(Settings().uri())
    pictures = Pictures(found.source, bucket)
    given = Classes.parse(str(found.run.parameters.get("Classes", AUTO)))
    classes = common_classes(found.source.batches(bucket), given)
    places = zip(rows["batch"], rows["source_ref"], rows["sha256"], strict=True)
    named = rows.assign(screenshot=[pictures.screenshot(*place) for place in places])
    write_quarantine_page(
        path,
        named,
        pictures.of(shown_rows(named)),
        classes=(classes.negative, classes.positive),
        subject=f"Run {found.run.id}, snapshot {found.source.snapshot[:12]}"
        + (f". {_AD_HOC}" if found.is_ad_hoc else ""),
        commands=not found.is_ad_hoc,
    )
