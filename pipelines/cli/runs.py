"""`tilegate runs` and `tilegate ui`: look at what has run."""

import os
import sys
import textwrap
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.environment import environment_options
from pipelines.cli.home import home_option
from pipelines.environment import LOCAL

if TYPE_CHECKING:
    from pipelines.executor.runs import RunSummary


@click.command()
@environment_options
@home_option
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="How many of a deployment.")
def runs(environment: str, region: str | None, home: Path, last: int) -> None:
    """List the runs of this machine, or the executions of a deployment, newest last."""
    from pipelines.executor.runs import load_runs

    if environment != LOCAL:
        _list_executions(environment, region, last)
        return
    found = load_runs(home)
    if not found:
        click.echo(f"No runs in {home}; `tilegate run` makes one.")
    gone = _runs_of_withdrawn(home, found) if (home / "store").is_dir() else set()
    for summary in found:
        seconds = f"{summary.seconds:.1f} s"
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(summary.started))
        why = textwrap.shorten(f"{summary.failed_step}: {summary.reason}", 100) if summary.failed_step else ""
        note = "; its data were withdrawn in part" if summary.id in gone else ""
        click.echo(f"{summary.id}  {started}  {summary.status:<11} {seconds:>9}  {why}{note}".rstrip())


def _runs_of_withdrawn(home: Path, found: "list[RunSummary]") -> set[str]:
    """Return the ids of the runs whose snapshot has a batch that somebody has withdrawn since."""
    from pipelines.data.withdrawals import withdrawn_batches
    from pipelines.definition.settings import Settings
    from pipelines.registry.opening import snapshot_batches
    from pipelines.storage.folder import FolderObjects

    bucket = Settings().bucket
    data = FolderObjects(home / "store" / bucket, bucket)
    gone = withdrawn_batches(data)
    uris = {str(run.parameters.get("DatasetUri", "")) for run in found} if gone else set()
    of_gone = {uri for uri in uris if uri and gone & set(snapshot_batches(data, uri) or ())}
    return {run.id for run in found if run.parameters.get("DatasetUri") in of_gone}


def _list_executions(environment: str, region: str | None, last: int) -> None:
    import itertools

    from pipelines.aws.session import open_environment
    from pipelines.runs.sagemaker_executions import SageMakerExecutions

    deployment = open_environment(environment, region)
    executions = SageMakerExecutions(deployment.client("sagemaker"), deployment.environment.pipeline_arn)
    found = list(itertools.islice(executions.newest(), last))
    if not found:
        click.echo(f"No executions of {deployment.environment.pipeline}; `tilegate start` makes one.")
    for execution in reversed(found):
        started = f"{execution.started:%Y-%m-%d %H:%M:%S}"
        why = textwrap.shorten("; ".join(filter(None, (execution.reason, execution.note))), 100)
        click.echo(f"{execution.id}  {started}  {executions.status(execution):<9}  {execution.name}  {why}".rstrip())


@click.command()
@home_option
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port on 127.0.0.1.")
@click.option("--read-only", is_flag=True, help="Refuse every change; any user of this machine can reach the port.")
def ui(home: Path, port: int, *, read_only: bool) -> None:
    """Open MLflow on this machine's runs, on 127.0.0.1; ends with Ctrl-C."""
    from pipelines.definition.settings import Settings
    from pipelines.tracking.database import database_path
    from pipelines.tracking.locations import relocate
    from pipelines.tracking.ui import executions_url, serve

    relocate(home, database_path(home))
    url = executions_url(home, Settings().name, port=port)

    def ready() -> None:
        click.echo(f"MLflow on {url} (Ctrl-C ends it)")
        if sys.stdout.isatty() and (sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()):
            webbrowser.open(url)

    sys.exit(serve(home, port=port, read_only=read_only, ready=ready))
