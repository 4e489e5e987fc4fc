"""`tilegate deploy` and `tilegate destroy`: the commands of an installation with the extra `infra`."""

import sys
from pathlib import Path
from typing import Any

import click

from pipelines.cli.command import command
from pipelines.cli.options import deployment_options
from pipelines.cli.parameters import training_options

_yes = click.option("--yes", is_flag=True, help="Do not ask.")


def _open(environment: str, region: str | None) -> Any:
    from pipelines.aws.session import open_environment

    return open_environment(environment, region)


@command()
@deployment_options
@click.option("--data-image", "data", help="Image without TensorFlow, with its digest.")
@click.option("--model-image", "model", help="Image with TensorFlow, with its digest.")
@click.option("--control-image", "control", help="Image of the functions, with its digest.")
@click.option("--weights", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Backbone of the nights.")
@click.option("--alert-email", "alert_emails", multiple=True, help="Who hears of failures; several times for several.")
@click.option("--approver", "approvers", multiple=True, help="ARN of a user or role that may approve versions.")
@click.option("--operator", "operators", multiple=True, help="ARN of a user or role that may start and stop nights.")
@click.option("--budget", "monthly_budget_usd", type=click.IntRange(1), help="Monthly budget in USD.  [500]")
@click.option("--schedule", help="When the night is, six fields.  [cron(0 2 * * ? *)]")
@click.option("--timezone", help="In which the schedule is told.  [UTC]")
@click.option("--scheduled/--not-scheduled", default=None, help="Whether nights come by themselves.  [prod: yes]")
@click.option("--mlflow", type=click.Choice(["app", "server"]), help="Managed MLflow: serverless, or a server.  [app]")
@click.option("--min-new-labels", type=click.IntRange(0), help="Fewer new labels wait for more.  [1]")
@click.option("--max-age", "max_age_days", type=click.IntRange(0), help="But no longer than so many days.  [7]")
@click.option("--set", "parameters", multiple=True, metavar="NAME=VALUE", help="A run parameter: MaxFpr=0.005.")
@click.option("--channel", help="Channel that approved versions are released to.  [stable]")
@click.option("--percent", "rollout_percent", type=click.IntRange(0, 100), help="Phones that get a release.  [100]")
@click.option("--trusted-key", "trusted_keys", multiple=True, help="Former signing key: its PEM's base64, in one line.")
@training_options
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--preflight", is_flag=True, help="Only tell whether the account is ready for it; deploy nothing.")
@click.option("--smoke", is_flag=True, help="Then run the embedded sample in it, and tell what works.")
@_yes
def deploy(
    environment: str,
    region: str | None,
    weights: Path | None,
    *,
    dry_run: bool,
    preflight: bool,
    smoke: bool,
    yes: bool,
    **given: Any,
) -> None:
    """Bring an environment in AWS to what this installation describes; doing it again changes nothing.

    What is not given stays as it was deployed last. Without any images only their repositories are made. Before
    anything is made, a table tells what the account is ready for. What would change is shown first; before contents
    are lost, it asks. To empty a list, give it once as ''.
    """
    from infra.deployment.deploy import Wanted, deploy

    chosen = {name: _list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    wanted = Wanted(chosen, weights, dry_run, preflight, smoke)
    if not deploy(_open(environment, region), wanted, tell=click.echo, confirm=lambda text: yes or click.confirm(text)):
        if not (preflight or smoke):
            click.echo("Nothing more was changed.")
        sys.exit(1)


def _list(values: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the values that were given, None if the option was not: an empty one says that there are none."""
    return tuple(filter(None, values)) if values else None


@command()
@deployment_options
@click.option("--really", metavar="prod", help="Has to say `prod` for prod.")
@_yes
def destroy(environment: str, region: str | None, really: str | None, *, yes: bool) -> None:
    """Remove an environment from AWS: dev with all its data; of prod, buckets and keys stay.

    It says what goes and what stays, and asks.
    """
    from infra.deployment.destroy import destroy
    from steps.core.common.errors import UserError

    if environment == "prod" and really != "prod":
        raise UserError("this is prod: say `--really prod` if you mean it")
    if not destroy(_open(environment, region), tell=click.echo, confirm=lambda text: yes or click.confirm(text)):
        click.echo("Nothing was changed.")
        sys.exit(1)
