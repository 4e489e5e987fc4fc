"""The command line `tilegate`. Importing it imports no library but Click: help and mistakes answer at once."""

import sys

import click

from pipelines.cli.compiling import compile_command
from pipelines.cli.data import data
from pipelines.cli.models import models
from pipelines.cli.running import run
from pipelines.cli.runs import runs, ui


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="tilegate")
def cli() -> None:
    """Keep an on-device screenshot classifier trustworthy: train, judge by false positives, convert, register."""


for command in (run, compile_command, runs, data, models, ui):
    cli.add_command(command)


def main() -> None:
    """Run the command line; errors that a person can mend are one sentence and exit code 1."""
    from pipelines.local import DefinitionError
    from pipelines.registry import RegistryError
    from steps.core.errors import UserError

    try:
        cli(prog_name="tilegate")
    except (UserError, DefinitionError, RegistryError, OSError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
