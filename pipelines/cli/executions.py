"""`tilegate runs`, `start`, `status`, `logs`, `stop` and `track`: executions, on this machine or in AWS."""

import hashlib
import itertools
import sys
import textwrap
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.command import command, group
from pipelines.cli.config import config_option
from pipelines.cli.options import Place, deployment_options, environment_options, json_option, place_options
from pipelines.cli.output import Columns, percent, print_json, print_table, terminal_width
from pipelines.cli.parameters import SECTIONS, chosen, parameter_options
from pipelines.cli.run import exit_code
from pipelines.environment import LOCAL
from pipelines.executor.events import duration
from steps.core.common.errors import UserError
from steps.core.common.program import EXIT_ERROR

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.aws.session import Deployment
    from pipelines.executor.runs import RunSummary
    from pipelines.registry.opening import OpenedRegistry
    from pipelines.runs.sagemaker_executions import SageMakerExecutions
    from pipelines.runs.standing import Standing

# The columns of the list, made of the fields that --json has.
_COLUMNS: Columns = {
    "run": lambda row: row["run"],
    "status": lambda row: row["status"],
    "started": lambda row: datetime.fromisoformat(row["started"]).astimezone().strftime("%Y-%m-%d %H:%M"),
    "took": lambda row: duration(row["seconds"]) if "seconds" in row else "",
    "data": lambda row: f"{row['screenshots']:,} of {row['dataset'][:8]}" if row.get("screenshots") is not None else "",
    "FPR at most": lambda row: percent(row.get("fpr_upper")),
    "TPR": lambda row: percent(row.get("tpr")),
    "version": lambda row: f"{row['version']} {row['version_status']}" if row.get("version") else "",
    "channel": lambda row: ", ".join(row.get("channels", ())),
    "night": lambda row: row["name"],
    "why": lambda row: textwrap.shorten("; ".join(filter(None, map(row.get, ("failed_step", "reason", "note")))), 100),
}


@group(invoke_without_command=True)
@place_options
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="How many of the newest.")
@json_option
@click.pass_context
def runs(ctx: click.Context, /, place: Place, last: int, *, as_json: bool) -> None:
    """List the runs of this machine, or the executions of a deployment, newest last; `show` tells all of one."""
    if ctx.invoked_subcommand:
        ctx.default_map = {"show": {**place._asdict(), "as_json": as_json}}
        return
    found = _runs_here(place, last) if place.is_local else _executions(place, last)
    if as_json:
        print_json(found)
    elif found:
        print_table(found, _COLUMNS)
    elif place.is_local:
        print(f"No runs in {place.home}; `tilegate run` makes one.")
    else:
        print(f"No executions in {place.environment}; `tilegate start` makes one.")


@runs.command()
@click.argument("run")
@place_options
@json_option
def show(run: str, place: Place, *, as_json: bool) -> None:
    """Show one run: its steps, the verdict, what it left and where.

    RUN is its id (on this machine also the beginning of it), its ARN or its night's name.
    """
    _show(_lookup(place)(run), as_json=as_json)


def _runs_here(place: Place, last: int) -> list[dict[str, Any]]:
    from pipelines.executor.runs import INTERRUPTED, load_runs
    from pipelines.registry.opening import open_registry
    from pipelines.release.opening import current_offers
    from pipelines.runs.local_history import outputs_of, status_of
    from steps.core.common.files import read_json

    found = load_runs(place.home)[-last:]
    opened = open_registry(*place)
    gone = _runs_of_withdrawn(found, opened)
    statuses = {version.version: version.status for version in opened.registry.versions(opened.group)}
    served = current_offers(*place)
    rows = []
    for run in found:
        outputs = outputs_of(place.home, run)
        gate = (outputs.evaluation() or {}).get("gate") or {}
        fpr, tpr = gate.get("fpr") or {}, gate.get("tpr") or {}
        validation, version = outputs.validation(), (outputs.registered() or {}).get("ModelPackageVersion")
        rows.append(
            {
                "run": run.id,
                "status": run.status if run.status == INTERRUPTED else str(status_of(run)),
                "started": datetime.fromtimestamp(run.started, UTC).isoformat(timespec="seconds"),
                "seconds": round(run.seconds, 1),
                "dataset": str(run.parameters.get("DatasetUri", "")).rpartition("/")[2],
                "screenshots": read_json(validation / "validation.json")["accepted"] if validation else None,
                "fpr": fpr.get("value"),
                "fpr_upper": fpr.get("upper"),
                "tpr": tpr.get("value"),
                "version": version,
                "version_status": statuses.get(version) if version else None,
                "channels": [str(offer) for offer in served if offer.version == version],
                "failed_step": run.failed_step,
                "reason": run.reason or "",
                "note": "its data were withdrawn in part" if run.id in gone else "",
                "name": run.code_note,
            }
        )
    return rows


def _runs_of_withdrawn(found: list["RunSummary"], opened: "OpenedRegistry") -> set[str]:
    """Return the ids of the runs whose snapshot has a batch that somebody has withdrawn since."""
    from pipelines.data.withdrawals import withdrawn_batches

    gone = withdrawn_batches(opened.data)
    uris = {str(run.parameters.get("DatasetUri", "")) for run in found} if gone else set()
    of_gone = {uri for uri in uris if uri and gone & set(opened.batches(uri) or ())}
    return {run.id for run in found if run.parameters.get("DatasetUri") in of_gone}


def _executions(place: Place, last: int) -> list[dict[str, Any]]:
    executions = _sagemaker(place.deployment())
    return [
        {
            "run": execution.id,
            "status": executions.status(execution),
            "started": execution.started.isoformat(timespec="seconds"),
            "reason": execution.reason,
            "note": execution.note,
            "name": execution.name,
        }
        for execution in reversed(list(itertools.islice(executions.newest(), last)))
    ]


def _sagemaker(deployment: "Deployment") -> "SageMakerExecutions":
    from pipelines.runs.sagemaker_executions import SageMakerExecutions

    return SageMakerExecutions(deployment.client("sagemaker"), deployment.environment.pipeline_arn)


@command(sections=SECTIONS)
@deployment_options
@config_option
@click.option("--reason", required=True, help="Why, besides the nights; kept with the execution.")
@parameter_options()
def start(environment: str, region: str | None, reason: str, **given: Any) -> None:
    """Start an execution now, as a night would if there were something to decide.

    Parameters that are not given are those of the deployed pipeline. Nothing starts beside another execution.
    """
    from pipelines.aws.session import open_environment
    from pipelines.nightly.decide import Rules, Start
    from pipelines.nightly.lease import NightBusyError
    from pipelines.nightly.night import hold_night
    from pipelines.nightly.site_aws import open_cloud_site

    deployment = open_environment(environment, region)
    site = open_cloud_site(deployment, chosen(given))
    try:
        held = hold_night(site, Rules(force=True), reason=f"{reason} ({deployment.identity})", tell=click.echo)
    except NightBusyError as busy:
        raise UserError(str(busy)) from None
    click.echo(held.line)
    if not isinstance(held.decision, Start):
        sys.exit(EXIT_ERROR)
    click.echo(f"Look at it with: tilegate status {held.execution} --env {environment} --watch")


@command()
@click.argument("execution", required=False)
@place_options
@click.option("--watch", is_flag=True, help="Go on telling until it has ended; the exit code is then that of a run.")
@json_option
def status(execution: str | None, place: Place, *, watch: bool, as_json: bool) -> None:
    """Show how a run of this machine, or an execution in AWS, stands: its steps, why one failed, and the verdict.

    EXECUTION is its id (here also the beginning of it), its ARN or its night's name; without one it is the newest. Exit
    codes with --watch: 0 it succeeded, 3 the gate rejected it, 1 it failed or was stopped.
    """
    from pipelines.runs.standing import follow

    lookup = _lookup(place)
    found = lookup(execution)
    if watch:
        found = follow(lookup, found, tell=(lambda _: None) if as_json else click.echo, sleep=time.sleep)
    _show(found, as_json=as_json)
    if watch:
        sys.exit(exit_code(found.status))


def _lookup(place: Place) -> "Callable[[str | None], Standing]":
    """Return what looks at an execution by its id, None for the newest."""
    if place.is_local:
        from pipelines.runs.local_history import local_standing

        return lambda wanted: local_standing(place.home, wanted)
    from pipelines.runs.sagemaker_executions import standing

    deployment = place.deployment()
    return lambda wanted: standing(deployment, wanted)


def _show(found: "Standing", *, as_json: bool) -> None:
    from pipelines.runs.standing import document_of, lines_of

    now = datetime.now(UTC)
    if as_json:
        print_json(document_of(found, now))
        return
    # A path stays in one piece, to be copied.
    wrap = partial(textwrap.wrap, subsequent_indent="      ", break_long_words=False, break_on_hyphens=False)
    width = terminal_width()
    for line in lines_of(found, now):
        for part in wrap(line, width) if width else (line,):
            click.echo(part)


@command()
@click.argument("execution", required=False)
@click.argument("step", required=False)
@place_options
@click.option("--follow", is_flag=True, help="Go on until the execution, or the step, has ended.")
def logs(execution: str | None, step: str | None, place: Place, *, follow: bool) -> None:
    """Show what the jobs of an execution have printed: in AWS in the order of time, on this machine job by job.

    EXECUTION as for `tilegate status`, by default the newest; STEP is the name of one of its steps.
    """
    if place.is_local:
        from pipelines.runs.local_history import log_lines

        lines = log_lines(place.home, execution, step, follow=follow)
    else:
        from pipelines.runs.aws_logs import log_lines as aws_log_lines

        deployment = place.deployment()
        lines = aws_log_lines(deployment.client("logs"), _sagemaker(deployment), execution, step, follow=follow)
    for job, text in lines:
        click.echo(f"{job}  {text}")


@command()
@click.argument("execution")
@deployment_options
@click.option("--reason", required=True, help="Why; kept with the execution.")
def stop(execution: str, environment: str, region: str | None, reason: str) -> None:
    """Stop an execution and its jobs. The next night tries the same data again, if nothing was decided on them.

    EXECUTION as for `tilegate status`.
    """
    from pipelines.aws.session import open_environment

    deployment = open_environment(environment, region)
    executions = _sagemaker(deployment)
    found = executions.look_up(execution)
    note = f"Stopped by {deployment.identity}: {reason}"
    executions.stop(found, note, hashlib.sha256(f"stop {found.arn}".encode()).hexdigest())
    click.echo(f"{found.id} is being stopped.")


@command()
@click.argument("execution")
@environment_options
@click.option("--tracking-uri", default="", help="Another MLflow than the environment's own.")
def track(execution: str, environment: str, region: str | None, tracking_uri: str) -> None:
    """Record an ended execution in MLflow, as one of this machine is recorded while it runs.

    EXECUTION is its id or ARN. What is recorded already stays as it is. In AWS the same happens by itself.
    """
    from pipelines.aws.session import open_environment
    from pipelines.tracking.managed import record

    if environment == LOCAL:
        raise UserError("a run of this machine is recorded while it runs: name an environment in AWS with --env")
    run, made = record(open_environment(environment, region), execution, tracking_uri)
    click.echo(f"{'Recorded' if made else 'Recorded already'}: MLflow run {run}")
