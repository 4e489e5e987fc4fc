"""`tilegate track`: an execution in AWS, recorded in MLflow after it has ended."""

import click

from pipelines.cli.command import command
from pipelines.cli.environment import environment_options


@command()
@click.argument("execution")
@environment_options
@click.option("--tracking-uri", default="", help="Another MLflow than the environment's own.")
def track(execution: str, environment: str, region: str | None, tracking_uri: str) -> None:
    """Record an ended execution in MLflow, as one of this machine is recorded while it runs.

    EXECUTION is its id or ARN. What is recorded already stays as it is. In AWS the same happens by itself.
    """
    from pipelines.aws.session import open_environment
    from pipelines.environment import LOCAL
    from pipelines.tracking.managed import record
    from steps.core.common.errors import UserError

    if environment == LOCAL:
        raise UserError("a run of this machine is recorded while it runs: name an environment in AWS with --env")
    run, made = record(open_environment(environment, region), execution, tracking_uri)
    click.echo(f"{'Recorded' if made else 'Recorded already'}: MLflow run {run}")
