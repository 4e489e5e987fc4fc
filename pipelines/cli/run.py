"""`tilegate run` and `tilegate nightly`: the whole pipeline, now on this machine or if there is something to decide."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.command import command
from pipelines.cli.config import config_option, is_typed, print_config
from pipelines.cli.options import Place, home_option, options, place_options, weights_option
from pipelines.cli.parameters import SECTIONS, chosen, parameter_options
from pipelines.definition.settings import Settings
from steps.core.common.errors import UserError
from steps.core.common.program import EXIT_ERROR, EXIT_REJECTED

if TYPE_CHECKING:
    from pipelines.runs.local_start import RunRequest

_INBOX = "A folder of dropped batches: each folder in it, with labels and screenshots, becomes a batch (local only)."

data_options = options(
    click.option(
        "--data",
        type=click.Path(exists=True, path_type=Path),
        help="Labelled screenshots: a folder, or a labels file in one. Without it, the batches that `tilegate data "
        "add` has added, or the embedded synthetic sample if there are none.",
    ),
    click.option("--labels", metavar="FILE", help="The labels file in --data, where there are several."),
    weights_option,
    click.option(
        "--sample", is_flag=True, is_eager=True, help="The embedded synthetic sample, also where there are data."
    ),
)


def request_of(given: Mapping[str, Any]) -> "RunRequest":
    """Return the run that the options of a command ask for."""
    from pipelines.runs.local_start import RunRequest

    if given["data"] and given["sample"]:
        raise click.UsageError("--data and --sample name different data: give one of them")
    # With other data the labels file of a configuration means nothing.
    labels = None if is_typed("data") and not is_typed("labels") else given["labels"]
    return RunRequest(given["home"], given["data"], given["sample"], given["weights"], chosen(given), labels)


def exit_code(status: str) -> int:
    """Return the exit code of a command whose execution has ended so."""
    return {"Succeeded": 0, "Rejected": EXIT_REJECTED}.get(status, EXIT_ERROR)


def activation_hint() -> str | None:
    """Return how `tilegate`, as all hints say it, becomes a command of the shell; None where it is one already."""
    # `uv run` has put it on the path of its children only.
    if "UV_RUN_RECURSION_DEPTH" not in os.environ and shutil.which("tilegate"):
        return None
    activate = shlex.quote(str(Path(sys.prefix) / "bin" / "activate"))
    return f"Shell         `source {activate}` makes `tilegate` a command of this shell"


@command(sections=SECTIONS)
@home_option
@config_option
@data_options
@click.option(
    "--resume", metavar="RUN", is_eager=True, help="Go on with an interrupted run instead of starting a new one."
)
@click.option(
    "--print-config", "printing", is_flag=True, help="Print every option and where it comes from; run nothing."
)
@parameter_options()
def run(resume: str | None, *, printing: bool, **given: Any) -> None:
    """Run the whole pipeline on this machine, from labelled screenshots to a registered TFLite model.

    Steps whose inputs, code and arguments have not changed are reused. Exit code 0: a model waits for approval; 3: the
    gate rejected it; 1: an error.
    """
    from pipelines.runs.local_run import resume_run, run_pipeline

    request, settings = request_of(given), Settings()
    if printing:
        print_config(request)
        return
    outcome = resume_run(request, settings, resume) if resume else run_pipeline(request, settings)
    if hint := activation_hint():
        click.echo(hint)
    sys.exit(exit_code(outcome))


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
def nightly(place: Place, inbox: Path | None, weights: Path | None, settle: float, reason: str, **given: Any) -> None:
    """Take in what was dropped, and start the pipeline if there is something to decide; else say why not.

    Data are decided on once for each definition and choice of parameters: by an execution that passed the gate or was
    rejected. A failed one is tried again on the next night. Exit code 0: nothing to do, or started (local: passed); 3:
    rejected (local); 1: an error.
    """
    from pipelines.nightly.decide import Rules, Start
    from pipelines.nightly.lease import NightBusyError
    from pipelines.nightly.night import hold_night

    rules = Rules(given["min_new_labels"], given["max_age"], given["max_attempts"], force=given["force"])
    if place.is_local:
        from pipelines.data.inbox import FolderInbox
        from pipelines.nightly.site_local import LocalSite

        dropped = FolderInbox(inbox, place.home / "inbox.json", settle_seconds=settle) if inbox else None
        site: Any = LocalSite(place.home, Settings(), inbox=dropped, weights=weights, chosen=chosen(given))
    elif inbox or weights:
        raise UserError(
            f"--inbox and --weights are of this machine: drop batches with `tilegate data add --env "
            f"{place.environment}`, choose weights with `tilegate deploy --env {place.environment} --weights`"
        )
    else:
        from pipelines.nightly.site_aws import open_cloud_site

        site = open_cloud_site(place.deployment(), chosen(given))
    try:
        held = hold_night(site, rules, reason=reason, tell=click.echo)
    except NightBusyError as busy:
        click.echo(f"Night: {busy}")
        return
    click.echo(f"Night: {held.line}")
    if place.is_local and isinstance(held.decision, Start):
        sys.exit(exit_code(site.executions.outcome(held.execution).status))
