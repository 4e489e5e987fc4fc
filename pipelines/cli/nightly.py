"""`tilegate nightly`: what a scheduler calls once a day, here or, for an environment in AWS, as its function does."""

import sys
from pathlib import Path
from typing import Any

import click

from pipelines.cli.command import command
from pipelines.cli.config import config_option
from pipelines.cli.options import Place, place_options, weights_option
from pipelines.cli.parameters import SECTIONS, chosen, parameter_options
from pipelines.cli.run import exit_code
from pipelines.definition.settings import Settings
from steps.core.common.errors import UserError

_INBOX = "A folder of dropped batches: each folder in it, with labels and screenshots, becomes a batch (local only)."


@command(sections=SECTIONS)
@place_options
@config_option
@click.option("--inbox", type=click.Path(exists=True, file_okay=False, path_type=Path), help=_INBOX)
@weights_option
@click.option(
    "--settle", default=60.0, show_default=True, help="Seconds in which nothing of a dropped batch has changed."
)
@click.option("--min-new-labels", default=1, show_default=True, help="Wait for as many since the last decision.")
@click.option("--max-age", default=7.0, show_default=True, help="But wait no longer than so many days.")
@click.option("--max-attempts", default=3, show_default=True, help="Times that one state of the data may fail.")
@click.option("--force", is_flag=True, help="Start in any case, except beside another execution.")
@click.option("--reason", default="", help="Why it is forced; kept with the execution.")
@parameter_options()
def nightly(  # noqa: PLR0917 (Click passes them by name)
    place: Place,
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

    rules = Rules(min_new_labels, max_age, max_attempts, force=force)
    if place.is_local:
        from pipelines.data.folder_inbox import FolderInbox
        from pipelines.nightly.site_local import LocalSite

        dropped = FolderInbox(inbox, place.home / "inbox.json", settle_seconds=settle) if inbox else None
        site: Any = LocalSite(place.home, Settings(), inbox=dropped, weights=weights, chosen=chosen(given))
    elif inbox or weights:
        raise UserError(
            f"--inbox and --weights are of this machine: drop batches with `tilegate data add --env "
            f"{place.environment}`, choose weights with `tilegate deploy --env {place.environment} --weights`"
        )
    else:
        from pipelines.nightly.opening import open_cloud_site

        site = open_cloud_site(place.deployment(), chosen(given))
    try:
        held = hold_night(site, rules, reason=reason, tell=click.echo)
    except NightBusyError as busy:
        click.echo(f"Night: {busy}")
        return
    click.echo(f"Night: {held.line}")
    if place.is_local and isinstance(held.decision, Start):
        sys.exit(exit_code(site.executions.outcome(held.execution).status))
