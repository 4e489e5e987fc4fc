"""The command line `tilegate`. It imports no library but Click, and a command its own."""

import sys

# Before any library: without `.pyc` files each costs three times its CPU in every call, whatever the environment says.
sys.dont_write_bytecode = False

import click  # noqa: E402

from pipelines.cli.command import group  # noqa: E402

_PLACES = {
    "compile": "pipelines.cli.compile:compile_command",
    "data": "pipelines.cli.data:data",
    # Their package stands above this one, which may not import it; it is looked up by name.
    "deploy": "infra.cli:deploy",
    "destroy": "infra.cli:destroy",
    "device": "pipelines.cli.device:device",
    "init": "pipelines.cli.config:init",
    "logs": "pipelines.cli.executions:logs",
    "models": "pipelines.cli.models:models",
    "nightly": "pipelines.cli.run:nightly",
    "predict": "pipelines.cli.device:predict",
    "release": "pipelines.cli.release:release",
    "report": "pipelines.cli.report:report",
    "run": "pipelines.cli.run:run",
    "runs": "pipelines.cli.executions:runs",
    "start": "pipelines.cli.executions:start",
    "status": "pipelines.cli.executions:status",
    "stop": "pipelines.cli.executions:stop",
    "track": "pipelines.cli.executions:track",
    "ui": "pipelines.cli.report:ui",
}


@group(
    places=_PLACES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="tilegate")
def cli() -> None:
    """Keep an on-device screenshot classifier trustworthy: train, judge by false positives, convert, register."""


def main() -> None:
    """Run the command line; errors that a person can mend are one sentence and exit code 1."""
    from pipelines.executor.errors import DefinitionError
    from steps.core.common.errors import UserError
    from steps.core.common.files import full_disk_told

    try:
        with full_disk_told():
            cli(prog_name="tilegate")
    except (UserError, DefinitionError, OSError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
