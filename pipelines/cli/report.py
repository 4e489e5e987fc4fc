"""`tilegate report` and `tilegate ui`: the pages by which people decide on a version, and MLflow on all runs."""

from pathlib import Path

import click

from pipelines.cli.command import command
from pipelines.cli.options import home_option
from pipelines.cli.output import open_page
from pipelines.definition.settings import Settings
from steps.core.common.errors import UserError


@command()
@click.argument("what", metavar="[RUN|VERSION]", required=False)
@click.option("--data", "of_data", is_flag=True, help="The page of the data that it learned from.")
@home_option
def report(what: str | None, home: Path, *, of_data: bool) -> None:
    """Open the report of a run or a version of this machine, by default the newest run; where no browser is, its path.

    The path is always printed. A run that was stopped before its verdict has the page of its data.
    """
    from pipelines.registry.mlflow_registry import MlflowRegistry
    from pipelines.runs.local_history import REPORT, find_run, outputs_of

    # A run's id begins with its date, of eight digits.
    if what and what.isdecimal() and len(what) < len("20260101"):
        version = MlflowRegistry(home).get(Settings().model_package_group, int(what))
        run = find_run(home, version.execution_id)
    else:
        run = find_run(home, what)
    outputs = outputs_of(home, run)
    data = outputs.validation()
    page = data / REPORT if of_data and data else None if of_data else outputs.report()
    if page is None or not page.is_file():
        raise UserError(f"the run {run.id} is {run.status} and has no such page: `tilegate status {run.id}` tells why")
    click.echo(page)
    open_page(page.as_uri())


@command()
@home_option
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port on 127.0.0.1.")
@click.option("--read-only", is_flag=True, help="Refuse every change; any user of this machine can reach the port.")
def ui(home: Path, port: int, *, read_only: bool) -> None:
    """Open MLflow on this machine's runs, on 127.0.0.1; ends with Ctrl-C."""
    from pipelines.tracking.ui import executions_url, serve

    url = executions_url(home, Settings().name, port=port)

    def ready() -> None:
        click.echo(f"MLflow on {url} (Ctrl-C ends it)")
        open_page(url)

    serve(home, port=port, read_only=read_only, ready=ready)
