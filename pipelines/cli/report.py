"""`tilegate report`: the page by which people decide on a version."""

from pathlib import Path

import click

from pipelines.cli.command import command
from pipelines.cli.home import home_option
from pipelines.cli.output import open_page


@command()
@click.argument("what", metavar="[RUN|VERSION]", required=False)
@click.option("--data", "of_data", is_flag=True, help="The page of the data that it learned from.")
@home_option
def report(what: str | None, home: Path, *, of_data: bool) -> None:
    """Open the report of a run or a version of this machine, by default the newest run; where no browser is, its path.

    The path is always printed. A run that was stopped before its verdict has the page of its data.
    """
    from pipelines.definition.settings import Settings
    from pipelines.registry.mlflow_registry import MlflowRegistry
    from pipelines.runs.local_outputs import REPORT
    from pipelines.runs.local_standing import find_run, outputs_of
    from steps.core.common.errors import UserError

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
