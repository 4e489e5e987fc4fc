"""`tilegate start`, `status`, `logs` and `stop`: executions, on this machine or in AWS."""

import sys
import textwrap
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.command import command
from pipelines.cli.config import config_option
from pipelines.cli.environment import deployment_options, environment_options
from pipelines.cli.home import home_option
from pipelines.cli.output import json_option, print_json, terminal_width
from pipelines.cli.parameters import SECTIONS, parameter_options
from pipelines.cli.run import EXIT_ERROR, EXIT_REJECTED
from pipelines.environment import LOCAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.aws.session import Deployment
    from pipelines.runs.aws_logs import Line
    from pipelines.runs.sagemaker_executions import Job, SageMakerExecutions
    from pipelines.runs.standing import Standing

_EXIT_CODES = {"Succeeded": 0, "Rejected": EXIT_REJECTED, "Failed": EXIT_ERROR, "Stopped": EXIT_ERROR}


@command(sections=SECTIONS)
@deployment_options
@config_option
@click.option("--reason", required=True, help="Why, besides the nights; kept with the execution.")
@parameter_options
def start(environment: str, region: str | None, reason: str, **given: Any) -> None:
    """Start an execution now, as a night would if there were something to decide.

    Parameters that are not given are those of the deployed pipeline. Nothing starts beside another execution.
    """
    from pipelines.aws.session import open_environment
    from pipelines.nightly.decide import Rules, Start
    from pipelines.nightly.lease import NightBusyError
    from pipelines.nightly.night import hold_night
    from pipelines.nightly.site_aws import open_cloud_site
    from steps.core.common.errors import UserError

    deployment = open_environment(environment, region)
    site = open_cloud_site(deployment, {name: value for name, value in given.items() if value is not None})
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
@environment_options
@home_option
@click.option("--watch", is_flag=True, help="Go on telling until it has ended; the exit code is then that of a run.")
@json_option
def status(
    execution: str | None, environment: str, region: str | None, home: Path, *, watch: bool, as_json: bool
) -> None:
    """Show how a run of this machine, or an execution in AWS, stands: its steps, why one failed, and the verdict.

    EXECUTION is its id (here also the beginning of it), its ARN or its night's name; without one it is the newest. Exit
    codes with --watch: 0 it succeeded, 3 the gate rejected it, 1 it failed or was stopped.
    """
    import time

    from pipelines.runs.standing import follow

    look = standing_of(environment, region, home)
    found = look(execution)
    if watch:
        found = follow(look, found, tell=(lambda _: None) if as_json else click.echo, sleep=time.sleep)
    show_standing(found, as_json=as_json)
    if watch:
        sys.exit(_EXIT_CODES.get(found.status, EXIT_ERROR))


def standing_of(environment: str, region: str | None, home: Path) -> "Callable[[str | None], Standing]":
    """Return what looks at an execution by its id, None for the newest."""
    if environment == LOCAL:
        from pipelines.runs.local_standing import local_standing

        return lambda wanted: local_standing(home, wanted)
    from pipelines.aws.session import open_environment
    from pipelines.runs.standing import standing

    deployment = open_environment(environment, region)
    return lambda wanted: standing(deployment, wanted)


def show_standing(found: "Standing", *, as_json: bool) -> None:
    from pipelines.runs.standing import document_of, lines_of

    if as_json:
        print_json(document_of(found, _now()))
        return
    # A path stays in one piece, to be copied.
    wrap = partial(textwrap.wrap, subsequent_indent="      ", break_long_words=False, break_on_hyphens=False)
    width = terminal_width()
    for line in lines_of(found, _now()):
        for part in wrap(line, width) if width else (line,):
            click.echo(part)


@command()
@click.argument("execution", required=False)
@click.argument("step", required=False)
@environment_options
@home_option
@click.option("--follow", is_flag=True, help="Go on until the execution, or the step, has ended.")
def logs(
    execution: str | None, step: str | None, environment: str, region: str | None, home: Path, *, follow: bool
) -> None:
    """Show what the jobs of an execution have printed: in AWS in the order of time, on this machine job by job.

    EXECUTION as for `tilegate status`, by default the newest; STEP is the name of one of its steps.
    """
    if environment == LOCAL:
        from pipelines.runs.local_standing import log_lines
        from steps.core.common.text import printable

        for job, text in log_lines(home, execution, step, follow=follow):
            click.echo(f"{job}  {printable(text, 2000)}")
        return
    from pipelines.aws.session import open_environment
    from pipelines.runs.sagemaker_executions import SageMakerExecutions

    deployment = open_environment(environment, region)
    executions = SageMakerExecutions(deployment.client("sagemaker"), deployment.environment.pipeline_arn)
    found = executions.look_up(execution)
    for line in _log_lines(deployment, executions, found.arn, step, follow=follow):
        click.echo(f"{line.stream.partition('/')[0]}  {line.text}")


def _log_lines(
    deployment: "Deployment", executions: "SageMakerExecutions", arn: str, step: str | None, *, follow: bool
) -> Iterator["Line"]:
    from pipelines.runs.aws_logs import follow_logs, read_logs

    client = deployment.client("logs")

    def look() -> tuple[Sequence["Job"], bool]:
        return _jobs(executions, arn, step, is_early=follow)

    return follow_logs(client, look) if follow else iter(read_logs(client, look()[0]))


def _jobs(
    executions: "SageMakerExecutions", arn: str, step: str | None, *, is_early: bool
) -> tuple[Sequence["Job"], bool]:
    """Return the jobs to read, and whether more may come; `is_early`: a step may not have begun yet."""
    from steps.core.common.errors import UserError

    execution = executions.describe(arn)
    steps = executions.steps(execution)
    chosen = [state for state in steps if step in (None, state.name)]
    if step and not chosen and not (is_early and execution.goes_on):
        names = ", ".join(state.name for state in steps if state.job) or "none"
        raise UserError(f"{execution.id} has no step {step!r} that has begun: {names}")
    goes_on = any(state.goes_on for state in chosen) if step and chosen else execution.goes_on
    return [job for state in chosen for job in executions.jobs(state)], goes_on


@command()
@click.argument("execution")
@deployment_options
@click.option("--reason", required=True, help="Why; kept with the execution.")
def stop(execution: str, environment: str, region: str | None, reason: str) -> None:
    """Stop an execution and its jobs. The next night tries the same data again, if nothing was decided on them.

    EXECUTION as for `tilegate status`.
    """
    import hashlib

    from pipelines.aws.session import open_environment
    from pipelines.runs.sagemaker_executions import SageMakerExecutions

    deployment = open_environment(environment, region)
    executions = SageMakerExecutions(deployment.client("sagemaker"), deployment.environment.pipeline_arn)
    found = executions.look_up(execution)
    note = f"Stopped by {deployment.identity}: {reason}"
    executions.stop(found, note, hashlib.sha256(f"stop {found.arn}".encode()).hexdigest())
    click.echo(f"{found.id} is being stopped.")


def _now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)
