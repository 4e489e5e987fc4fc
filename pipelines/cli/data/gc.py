"""`tilegate data gc`: what the store holds for nobody."""

import time
from pathlib import Path

import click

from pipelines.cli.command import command
from pipelines.cli.data.catalogue import megabytes, open_catalogue
from pipelines.cli.options import home_option, json_option
from pipelines.cli.output import print_json
from steps.core.common.text import printable


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
