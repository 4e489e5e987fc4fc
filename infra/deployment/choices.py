"""The options of the last deployment: they stand in the stack's own template, and stay until others are given."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from infra.deployment.stacks_in_aws import Stacks
from infra.options import Images, Options
from pipelines.environment import Environment
from steps.core.common.errors import UserError

_OURS = "tilegate"
_IMAGES = tuple(field.name for field in fields(Images))
_OPTIONS = tuple(field.name for field in fields(Options))


@dataclass(frozen=True, slots=True)
class Choices:
    """`images` is None as long as none was ever named."""

    images: Images | None
    options: Options


def choose(given: Mapping[str, Any], earlier: Mapping[str, Any], s3_prefix_list: str) -> Choices:
    """Return what is deployed: what is given, else what was, else the defaults. Raises UserError for a contradiction.

    `given` and `earlier` hold images by their names, options by theirs; of `given`, None counts as not given.
    """
    told = {**earlier, **{name: value for name, value in given.items() if value is not None}}
    named = {name: str(told[name]) for name in _IMAGES if name in told}
    if named and len(named) < len(_IMAGES):
        missing = ", ".join(f"--{name}-image" for name in _IMAGES if name not in named)
        raise UserError(f"one image is not enough: give {missing} as well, the three belong together")
    options = {name: told[name] for name in _OPTIONS if name in told}
    lists = {name: tuple(value) for name, value in options.items() if isinstance(value, list | tuple)}
    return Choices(
        Images(**named) if named else None, Options(**{**options, **lists, "s3_prefix_list": s3_prefix_list})
    )


def remembering(template: Mapping[str, Any], choices: Choices) -> dict[str, Any]:
    """Return a template that tells what it was made of."""
    if choices.images is None:
        return dict(template)
    told = {**asdict(choices.images), **asdict(choices.options)}
    return {**template, "Metadata": {**template.get("Metadata", {}), _OURS: told}}


def remembered(stacks: Stacks, environment: Environment) -> dict[str, Any]:
    """Return what the deployed stack was made of; nothing if there is none, or if it never came to be."""
    told = stacks.deployed(environment.project).get("Metadata", {}).get(_OURS, {})
    return {name: value for name, value in told.items() if name in (*_IMAGES, *_OPTIONS)}
