"""The options `--env` and `--region`: this machine, or a deployment in AWS."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pipelines.environment import ENVIRONMENTS, LOCAL

Command = TypeVar("Command", bound=Callable[..., Any])


def environment_options(command: Command) -> Command:
    """Add `--env` (passed as `environment`) and `--region`."""
    command = click.option("--region", help="AWS region.  [that of the AWS configuration]")(command)
    return click.option(
        "--env",
        "environment",
        is_eager=True,
        type=click.Choice((LOCAL, *ENVIRONMENTS)),
        default=LOCAL,
        envvar="TILEGATE_ENV",
        show_default=True,
        show_envvar=True,
        help="This machine, or a deployment in AWS.",
    )(command)


def deployment_options(command: Command) -> Command:
    """Add `--env` (dev or prod, passed as `environment`) and `--region`, for what there is only in AWS."""
    command = click.option("--region", help="AWS region.  [that of the AWS configuration]")(command)
    return click.option(
        "--env",
        "environment",
        is_eager=True,
        type=click.Choice(ENVIRONMENTS),
        required=True,
        envvar="TILEGATE_ENV",
        show_envvar=True,
        help="The deployment in AWS.",
    )(command)
