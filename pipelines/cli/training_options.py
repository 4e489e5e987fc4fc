"""Options of how training runs in AWS, which belong to a definition and so to whatever compiles one."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pipelines.definition.parameters import MOST_WARM_START_PARENTS
from pipelines.definition.settings import MOST_WARM_POOL_SECONDS

Command = TypeVar("Command", bound=Callable[..., Any])


def training_options(command: Command) -> Command:
    """Add `--warm-start-parents`, `--spot`, `--warm-pool` and `--volume-key`; None stands for what was not given."""
    command = click.option(
        "--volume-key/--no-volume-key",
        "training_volume_key",
        default=None,
        help="Encrypt the volumes of training with the key; instances with disks of their own (g4dn, g5) refuse it.  "
        "[yes]",
    )(command)
    command = click.option(
        "--warm-pool",
        "warm_pool_seconds",
        type=click.IntRange(0, MOST_WARM_POOL_SECONDS),
        help="Seconds that a trial's instances wait for the next training; the quota of warm pools is 0 until it is "
        "raised, and spot has none.  [0]",
    )(command)
    command = click.option("--spot/--no-spot", default=None, help="Train on spare capacity, from checkpoints.  [no]")(
        command
    )
    return click.option(
        "--warm-start-parents",
        type=click.IntRange(0, MOST_WARM_START_PARENTS),
        help="How many earlier tuning jobs the tuning learns from; each start names them.  [0]",
    )(command)
