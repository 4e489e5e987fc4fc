"""`tilegate data status`: every batch, and what the next run would make of them."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.command import command
from pipelines.cli.data.options import megabytes, open_catalogue
from pipelines.cli.home import home_option

if TYPE_CHECKING:
    from pipelines.executor.runs import RunSummary


@command()
@home_option
def status(home: Path) -> None:
    """List the batches in the order in which they came, and tell whether a run has decided on just these."""
    import pandas as pd

    from pipelines.data.withdrawals import last_withdrawal, withdrawn_batches
    from pipelines.definition.settings import Settings
    from pipelines.executor.runs import load_runs
    from steps.core.common.text import printable
    from steps.core.dataset.snapshot import LABELS, parts_of, snapshot_digest

    catalogue = open_catalogue(home)
    cards = catalogue.cards()
    gone = withdrawn_batches(catalogue.data)
    batches = [card.batch for card in cards if card.name not in gone]
    listings = {batch.name: catalogue.listing(batch.name) for batch in batches}
    parts = {part.batch: part for part in parts_of(batches, lambda batch: listings[batch.name])}
    for card in cards:
        if card.name in gone:
            told = printable(str(last_withdrawal(catalogue.data, card.name)))
            click.echo(f"{card.name}  {card.kind:<9}  withdrawn {told}")
            continue
        batch = card.batch
        new = len(parts[batch.name].files) if batch.name in parts else 0
        refused = f" ({card.refused:,} refused)" if card.refused else ""
        click.echo(
            f"{batch.name}  {batch.kind:<9}  {batch.added[:10]} {batch.added[11:19]}  {card.rows:>9,} rows{refused}, "
            f"{listings[batch.name]['sha256'].nunique():,} screenshots, {new:,} new"
        )
    if not any(batch.kind == LABELS for batch in batches):
        click.echo(f"No labelled data in {home}; `tilegate data add PATH` brings some.")
        return
    held = pd.concat(listings.values()).drop_duplicates("sha256")
    click.echo(f"Batches   {len(batches):,}, {len(held):,} screenshots, {megabytes(int(held['bytes'].sum()))}")
    uri = Settings().uri("datasets", snapshot_digest(batches))
    click.echo(f"Snapshot  {uri}")
    runs = [run for run in load_runs(home) if run.parameters.get("DatasetUri") == uri]
    click.echo(f"Decided   {_decision(runs)}")


def _decision(runs: list["RunSummary"]) -> str:
    """Return what runs on a snapshot came to: the newest decision, else how the newest run ended."""
    from pipelines.runs.executions import Status
    from pipelines.runs.local_history import status_of

    for run in reversed(runs):
        status = status_of(run)
        if status is Status.SUCCEEDED:
            return f"a model passed the gate in run {run.id}"
        if status is Status.REJECTED:
            return f"the gate rejected the model of run {run.id}"
    if not runs:
        return "not yet: no run has had this snapshot"
    last = runs[-1]
    where = f" in {last.failed_step}" if last.failed_step else ""
    return f"not yet: run {last.id} on this snapshot is {last.status}{where}"
