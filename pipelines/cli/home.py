"""The folder that holds everything a machine knows of its runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def home_option(command: Command) -> Command:
    """Add `--home`: the store, the runs, the step cache, MLflow's database and the registry are in it."""
    return click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path(".tilegate"),
        envvar="TILEGATE_HOME",
        show_default=True,
        show_envvar=True,
        help="Folder of runs, store, cache, MLflow and registry.",
        callback=lambda _context, _option, value: value.resolve(),
    )(command)
