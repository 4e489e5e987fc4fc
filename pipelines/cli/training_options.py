"""Options of how training runs in AWS, which belong to a definition and so to whatever compiles one."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pipelines.definition.parameters import MOST_WARM_START_PARENTS

Command = TypeVar("Command", bound=Callable[..., Any])


def training_options(command: Command) -> Command:
    """Add `--warm-start-parents`, `--spot`, `--input-mode` and `--volume-key`; None stands for what was not given."""
    command = click.option(
        "--volume-key/--no-volume-key",
        "training_volume_key",
        default=None,
        help="Encrypt the volumes of training with the key; instances with disks of their own (g4dn, g5) refuse it.  "
        "[yes]",
    )(command)
    command = click.option(
        "--input-mode", type=click.Choice(["File", "FastFile"]), help="How training gets its tiles.  [File]"
    )(command)
    command = click.option("--spot/--no-spot", default=None, help="Train on spare capacity, from checkpoints.  [no]")(
        command
    )
    return click.option(
        "--warm-start-parents",
        type=click.IntRange(0, MOST_WARM_START_PARENTS),
        help="How many earlier tuning jobs the tuning learns from; each start names them.  [0]",
    )(command)
