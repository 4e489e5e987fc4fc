"""`tilegate data status` and `gc`: what the store holds, for the next run and for nobody."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.command import command
from pipelines.cli.data.catalogue import megabytes, open_catalogue
from pipelines.cli.options import home_option, json_option
from pipelines.cli.output import Columns, print_json, print_table
from steps.core.common.text import printable

if TYPE_CHECKING:
    from pipelines.executor.runs import RunSummary


@command()
@home_option
@json_option
def status(home: Path, *, as_json: bool) -> None:
    """List the batches in the order in which they came, and tell whether a run has decided on just these."""
    import pandas as pd

    from pipelines.data.withdrawals import last_withdrawal, withdrawn_batches
    from pipelines.definition.settings import Settings
    from pipelines.executor.runs import load_runs
    from steps.core.dataset.snapshot import LABELS, parts_of, snapshot_digest

    catalogue = open_catalogue(home)
    cards = catalogue.cards()
    gone = withdrawn_batches(catalogue.data)
    batches = [card.batch for card in cards if card.name not in gone]
    listings = {batch.name: catalogue.listing(batch.name) for batch in batches}
    parts = {part.batch: part for part in parts_of(batches, lambda batch: listings[batch.name])}
    rows = [
        {
            "batch": card.name,
            "kind": card.kind,
            "added": card.added,
            "by": card.by,
            "rows": card.rows,
            "refused": card.refused,
            "screenshots": None if card.name in gone else int(listings[card.name]["sha256"].nunique()),
            "new": len(parts[card.name].files) if card.name in parts else 0,
            "withdrawn": str(last_withdrawal(catalogue.data, card.name)) if card.name in gone else "",
        }
        for card in cards
    ]
    uri = Settings().uri("datasets", snapshot_digest(batches)) if any(b.kind == LABELS for b in batches) else None
    total: dict[str, Any] = {"screenshots": 0, "bytes": 0, "snapshot": uri, "decided": None}
    if uri:
        held = pd.concat(listings.values()).drop_duplicates("sha256")
        runs = [run for run in load_runs(home) if run.parameters.get("DatasetUri") == uri]
        total |= {"screenshots": len(held), "bytes": int(held["bytes"].sum()), "decided": _decision(runs)}
    if as_json:
        print_json({"batches": rows, **total})
        return
    print_table(rows, _COLUMNS)
    if not uri:
        click.echo(f"No labelled data in {home}; `tilegate data add PATH` brings some.")
        return
    click.echo(f"Batches   {len(batches):,}, {total['screenshots']:,} screenshots, {megabytes(total['bytes'])}")
    click.echo(f"Snapshot  {uri}")
    click.echo(f"Decided   {total['decided']}")


_COLUMNS: Columns = {
    "batch": lambda row: row["batch"],
    "kind": lambda row: row["kind"],
    "added": lambda row: f"{row['added'][:10]} {row['added'][11:16]}",
    "rows": lambda row: f"{row['rows']:,}",
    "refused": lambda row: f"{row['refused']:,}" if row["refused"] else "",
    "screenshots": lambda row: "" if row["screenshots"] is None else f"{row['screenshots']:,}",
    "new": lambda row: f"{row['new']:,}",
    "": lambda row: f"withdrawn {printable(row['withdrawn'])}" if row["withdrawn"] else "",
}


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


@command()
@click.option("--delete", is_flag=True, help="Remove it; without this, it is only listed.")
@click.option("--all", "young", is_flag=True, help="Also what is younger than a day: its writer may be at work.")
@json_option
@home_option
def gc(home: Path, *, delete: bool, young: bool, as_json: bool) -> None:
    """List what nothing refers to: half-added batches, facts and tiles of no data, and what killed commands left."""
    from pipelines.data.garbage import DAY_SECONDS, leftovers, orphans, part_is_used, remove, shards_of_runs

    catalogue = open_catalogue(home)
    with catalogue.lock():
        every = [
            *orphans(catalogue, part_is_used(catalogue), kept=shards_of_runs(catalogue), min_age_seconds=0),
            *leftovers(catalogue.store),
        ]
        found = [orphan for orphan in every if young or orphan.touched <= time.time() - DAY_SECONDS]
        for orphan in () if as_json else found:
            click.echo(
                f"{megabytes(orphan.bytes):>12}  {orphan.files:>6,} files  {printable(orphan.uri)}: {orphan.why}"
            )
        if delete:
            remove(catalogue.store, found)
    if as_json:
        documents = [{name: getattr(orphan, name) for name in ("uri", "bytes", "files", "why")} for orphan in found]
        print_json({"found": documents, "removed": delete, "too_young": len(every) - len(found)})
        return
    size = megabytes(sum(orphan.bytes for orphan in found))
    if not found:
        click.echo("Nothing to remove.")
    elif delete:
        click.echo(f"Removed {len(found):,}, {size}.")
    else:
        click.echo(f"{len(found):,} to remove, {size}; `tilegate data gc --delete` does it.")
    if waiting := len(every) - len(found):
        click.echo(f"{waiting:,} more are younger than a day: somebody may be at work on them; --all takes them too.")
