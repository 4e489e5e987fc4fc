"""The command line `tilegate`. Importing it imports no library but Click: help and mistakes answer at once."""

import sys
from importlib.metadata import entry_points

import click

from pipelines.cli.compile import compile_command
from pipelines.cli.data import data
from pipelines.cli.models import models
from pipelines.cli.nightly import nightly
from pipelines.cli.operate import logs, start, status, stop
from pipelines.cli.release import release
from pipelines.cli.run import run
from pipelines.cli.runs import runs, ui
from pipelines.cli.track import track

_GROUP = "tilegate.commands"


class _Commands(click.Group):
    """Has the commands of packages that stand above this one as well: `deploy` and `destroy`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *entry_points(group=_GROUP).names})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for found in entry_points(group=_GROUP, name=cmd_name):
            self.add_command(found.load())
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="tilegate")
def cli() -> None:
    """Keep an on-device screenshot classifier trustworthy: train, judge by false positives, convert, register."""


for command in (run, nightly, start, status, logs, stop, compile_command, runs, data, models, release, ui, track):
    cli.add_command(command)


def main() -> None:
    """Run the command line; errors that a person can mend are one sentence and exit code 1."""
    from pipelines.executor.errors import DefinitionError
    from pipelines.registry.protocol import RegistryError
    from steps.core.common.errors import UserError

    try:
        cli(prog_name="tilegate")
    except (UserError, DefinitionError, RegistryError, OSError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
