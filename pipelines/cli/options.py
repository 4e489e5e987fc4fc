"""Options that several commands share, and the place that `--env`, `--region` and `--home` name together."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from pipelines.environment import ENVIRONMENTS, LOCAL

if TYPE_CHECKING:
    from pipelines.aws.session import Deployment

# Screenshots are personal.
_OWNER_ALONE = 0o077
_REFUSED_IN_HOME = frozenset("%?#")
# As in `pipelines.runs.imagenet`, whose import costs more than this command needs to say its help.
_IMAGENET = "imagenet"
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)
Command = TypeVar("Command", bound=Callable[..., Any])


def options(*each: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return the decorator that adds several options, which the help then lists in this order."""
    return lambda command: functools.reduce(lambda inner, option: option(inner), reversed(each), command)


json_option = click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for scripts.")
_region_option = click.option("--region", help="AWS region.  [that of the AWS configuration]")


def _home(_context: click.Context, _option: click.Parameter, value: Path) -> Path:
    """Return the home's whole path; what is written into it from now on, its owner alone may read."""
    home = value.resolve()
    if found := sorted(_REFUSED_IN_HOME & set(str(home))):
        raise click.BadParameter(
            f"{str(home)!r} has {found[0]!r} in its path, which MLflow reads as part of an address"
        )
    os.umask(_OWNER_ALONE)
    return home


home_option = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".tilegate"),
    envvar="TILEGATE_HOME",
    show_default=True,
    show_envvar=True,
    help="Folder of runs, store, cache, MLflow and registry.",
    callback=_home,
)


def _env_option(names: tuple[str, ...], **attributes: Any) -> Callable[[Command], Command]:
    attributes |= {"type": click.Choice(names), "envvar": "TILEGATE_ENV", "show_envvar": True, "is_eager": True}
    return click.option("--env", "environment", **attributes)


# Passed as `environment` and `region`: this machine or a deployment, and what there is only in AWS.
environment_options = options(
    _env_option((LOCAL, *ENVIRONMENTS), default=LOCAL, show_default=True, help="This machine, or a deployment in AWS."),
    _region_option,
)
deployment_options = options(_env_option(ENVIRONMENTS, required=True, help="The deployment in AWS."), _region_option)


class Place(NamedTuple):
    """A home on this machine, or a deployment in AWS."""

    environment: str
    region: str | None
    home: Path

    @property
    def is_local(self) -> bool:
        return self.environment == LOCAL

    def deployment(self) -> "Deployment":
        from pipelines.aws.session import open_environment

        return open_environment(self.environment, self.region)


def place_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--env`, `--region` and `--home`; the command gets them as `place`."""

    @functools.wraps(command)
    def placed(*arguments: Any, environment: str, region: str | None, home: Path, **others: Any) -> None:
        command(*arguments, place=Place(environment, region, home), **others)

    return options(environment_options, home_option)(placed)


def decision_options(kept: str, does: str = "decides") -> Callable[[Command], Command]:
    """Add `--by` and `--reason`, both wanted; `kept` says with what they are kept."""
    return options(
        click.option("--by", required=True, metavar="NAME", help=f"Who {does}; kept with the {kept}."),
        click.option("--reason", required=True, metavar="TEXT", help=f"Why; kept with the {kept}."),
    )


class _WeightsPath(click.Path):
    """A file or folder that exists, or the word that stands for Keras's published ImageNet weights."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return Path(value) if str(value) == _IMAGENET else super().convert(value, param, ctx)


weights_option = click.option(
    "--weights",
    type=_WeightsPath(exists=True, path_type=Path),
    metavar="FILE|FOLDER|imagenet",
    help="Pretrained backbone: a Keras *.weights.h5, a folder of them, or the ImageNet weights that Keras publishes, "
    "fetched once. Without it, a small one that knows the sample.",
)
