"""`tilegate data withdraw`: a batch that no run learns from any more."""

from pathlib import Path

import click

from pipelines.cli.command import command
from pipelines.cli.decision import decision_options
from pipelines.cli.environment import environment_options
from pipelines.cli.home import home_option


@command()
@click.argument("batch")
@decision_options("batch", "withdraws it")
@click.option("--undo", is_flag=True, help="Bring a withdrawn batch back.")
@home_option
@environment_options
def withdraw(  # noqa: PLR0917 (Click passes them by name)
    batch: str, by: str, reason: str, home: Path, environment: str, region: str | None, *, undo: bool
) -> None:
    """Withdraw BATCH: from now on no snapshot has it, no run learns from it, and it is not added again.

    Its files stay, for earlier runs are about them; `tilegate data erase` removes screenshots for good.
    """
    from pipelines.cli.data.place import opened_place, tell_versions
    from pipelines.cli.offers import warn_of_offers
    from pipelines.data.clock import utc_now
    from pipelines.data.snapshots import added_batches, current_dataset
    from pipelines.data.withdrawals import withdraw_batch
    from steps.core.common.errors import UserError

    with opened_place(environment, region, home, "withdraw data") as place:
        known = [added.name for added in added_batches(place.data)]
        if batch not in known:
            raise UserError(f"there is no batch {batch!r}; the newest are {', '.join(known[-3:]) or 'none'}")
        withdraw_batch(place.data, batch, by=by, reason=reason, clock=utc_now, undo=undo)
        click.echo(f"{'Brought back' if undo else 'Withdrawn   '} {batch}")
        snapshot = current_dataset(place.data)
        if snapshot is None:
            click.echo("Snapshot     no labelled data are left; `tilegate data add PATH` brings some")
        else:
            click.echo(f"Snapshot     {snapshot.uri}, {len(snapshot.batches):,} batches")
        if not undo:
            click.echo(f"Remains      its files in {place.data.uri(f'labelled/{batch}/')}")
            warn_of_offers(tell_versions(place, [batch]), environment, region, home)
    if snapshot:
        click.echo("Next         the next night or run learns from this snapshot")
