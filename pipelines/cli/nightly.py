"""`tilegate nightly`: what a scheduler calls once a day, here or, for an environment in AWS, as its function does."""

import sys
from pathlib import Path
from typing import Any

import click

from pipelines.cli.command import command
from pipelines.cli.config import config_option
from pipelines.cli.environment import environment_options
from pipelines.cli.home import home_option
from pipelines.cli.parameters import SECTIONS, parameter_options
from pipelines.cli.run import EXIT_ERROR, EXIT_REJECTED
from pipelines.cli.weights import weights_option
from pipelines.definition.settings import Settings
from pipelines.environment import LOCAL

_INBOX = "A folder of dropped batches: each folder in it, with labels and screenshots, becomes a batch (local only)."


@command(sections=SECTIONS)
@environment_options
@config_option
@home_option
@click.option("--inbox", type=click.Path(exists=True, file_okay=False, path_type=Path), help=_INBOX)
@weights_option
@click.option(
    "--settle",
    type=float,
    default=60.0,
    help="Seconds in which nothing of a dropped batch has changed.",
    show_default=True,
)
@click.option(
    "--min-new-labels", type=int, default=1, help="Wait for as many since the last decision.", show_default=True
)
@click.option(
    "--max-age", "max_age", type=float, default=7.0, help="But wait no longer than so many days.", show_default=True
)
@click.option(
    "--max-attempts", type=int, default=3, help="Times that one state of the data may fail.", show_default=True
)
@click.option("--force", is_flag=True, help="Start in any case, except beside another execution.")
@click.option("--reason", default="", help="Why it is forced; kept with the execution.")
@parameter_options
def nightly(  # noqa: PLR0917
    environment: str,
    region: str | None,
    home: Path,
    inbox: Path | None,
    weights: Path | None,
    settle: float,
    min_new_labels: int,
    max_age: float,
    max_attempts: int,
    reason: str,
    *,
    force: bool,
    **given: Any,
) -> None:
    """Take in what was dropped, and start the pipeline if there is something to decide; else say why not.

    Data are decided on once for each definition and choice of parameters: by an execution that passed the gate or was
    rejected. A failed one is tried again on the next night. Exit code 0: nothing to do, or started (local: passed); 3:
    rejected (local); 1: an error.
    """
    from pipelines.nightly.decide import Rules, Start
    from pipelines.nightly.lease import NightBusyError
    from pipelines.nightly.night import hold_night
    from steps.core.common.errors import UserError

    rules = Rules(min_new_labels, max_age, max_attempts, force=force)
    chosen = {name: value for name, value in given.items() if value is not None}
    if environment == LOCAL:
        from pipelines.data.inbox import FolderInbox
        from pipelines.nightly.site_local import LocalSite

        dropped = FolderInbox(inbox, home / "inbox.json", settle_seconds=settle) if inbox else None
        site: Any = LocalSite(home, Settings(), inbox=dropped, weights=weights, chosen=chosen)
    elif inbox or weights:
        raise UserError(
            f"--inbox and --weights are of this machine: drop batches with `tilegate data add --env {environment}`, "
            f"choose weights with `tilegate deploy --env {environment} --weights`"
        )
    else:
        from pipelines.aws.session import open_environment
        from pipelines.nightly.site_aws import open_cloud_site

        site = open_cloud_site(open_environment(environment, region), chosen)
    try:
        held = hold_night(site, rules, reason=reason, tell=click.echo)
    except NightBusyError as busy:
        click.echo(f"Night: {busy}")
        return
    click.echo(f"Night: {held.line}")
    if environment == LOCAL and isinstance(held.decision, Start):
        status = site.executions.outcome(held.execution).status
        sys.exit({"Succeeded": 0, "Rejected": EXIT_REJECTED}.get(status, EXIT_ERROR))
