"""The folder that holds everything a machine knows of its runs."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

# Screenshots are personal.
_OWNER_ALONE = 0o077
_NO_PLACE = frozenset("%?#")
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
        callback=_home,
    )(command)


def _home(_context: click.Context, _option: click.Parameter, value: Path) -> Path:
    """Return the home's whole path; what is written into it from now on, its owner alone may read."""
    home = value.resolve()
    if found := sorted(_NO_PLACE & set(str(home))):
        raise click.BadParameter(
            f"{str(home)!r} has {found[0]!r} in its path, which MLflow reads as part of an address"
        )
    os.umask(_OWNER_ALONE)
    return home
