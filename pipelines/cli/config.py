"""`tilegate.toml`, a file of options: read for `--config`, printed by `--print-config`, begun by `tilegate init`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from pipelines.cli.command import command
from pipelines.cli.parameters import PARAMETERS, SECTIONS, help_of
from pipelines.definition.parameters import SAMPLE_PARAMETERS, key_of
from pipelines.definition.settings import Settings
from pipelines.environment import LOCAL
from steps.core.common.choices import NO, YES
from steps.core.common.errors import UserError
from steps.core.dataset.classes import AUTO, Classes

if TYPE_CHECKING:
    from pipelines.runs.local_start import RunRequest

FILE_NAME = "tilegate.toml"
# What a file may say besides the parameters. A command takes of it what it has an option for.
_OTHERS = ("data", "labels", "sample", "weights", "inbox", "settle", "min-new-labels", "max-age", "max-attempts")
KEYS = (*_OTHERS, *(key_of(parameter.name) for parameter in PARAMETERS))

SCREENSHOTS = "screenshots"
_OPENING = """\
# What `tilegate run`, `tilegate nightly` and `tilegate data validate` take where it is not typed. Every other option
# stands below with its default. `tilegate run --print-config` shows what counts. Paths are as seen from this file.

# Labelled screenshots. Without this line, the batches that `tilegate data add` has added.
data = "{screenshots}"
# "imagenet" is fetched once; or a Keras *.weights.h5 of MobileNetV3 without its top, or a folder of them.
weights = "imagenet"
"""


def _load(ctx: click.Context, _option: click.Parameter, given: Path | None) -> None:
    """Make what the file says the defaults of the command's other options."""
    options = {param.opts[0].removeprefix("--"): param for param in ctx.command.params}
    # A file that happens to lie there changes neither what is said to be something else, nor a deployment's gate.
    elsewhere = ctx.params.get("environment", None if "region" in options else LOCAL) != LOCAL
    other = elsewhere or ctx.params.get("sample") or ctx.params.get("resume")
    if given is None and (other or not Path(FILE_NAME).is_file()):
        return
    path = given or Path(FILE_NAME)
    values = {
        str(options[key].name): _value(ctx, path, options[key], value)
        for key, value in _read(path).items()
        if key in options
    }
    ctx.default_map = {name: value for name, value in values.items() if value is not None}
    ctx.meta[__name__] = path


config_option = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=_load,
    help=f"File with options.  [{FILE_NAME} in the working folder; not with --sample or --resume, nor for AWS]",
)


def _read(path: Path) -> Mapping[str, Any]:
    import tomllib
    from difflib import get_close_matches

    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.UsageError(f"{path} is no TOML: {error}") from None
    for key in values:
        if key not in KEYS:
            near = get_close_matches(key, KEYS, n=1) or [known for known in KEYS if key in known.split("-")]
            meant = f": did you mean {' or '.join(near)}?" if near else f"; one of {', '.join(KEYS)} is wanted"
            raise click.UsageError(f"{path} has a key {key!r} that nobody knows{meant}")
    return values


def _value(ctx: click.Context, path: Path, option: click.Parameter, value: Any) -> Any:
    """Return what a file says for an option, as the command line would give it; None stands for a flag set to false."""
    place = f"{path}: {option.opts[0][2:]} = {value!r}"
    if isinstance(option, click.Option) and option.is_flag:
        if not isinstance(value, bool):
            raise click.UsageError(f"{place}: true or false is wanted")
        return option.flag_value if value else None
    if isinstance(value, bool | list | dict):
        raise click.UsageError(f"{place}: a number or a text is wanted")
    if isinstance(option.type, click.Path) and str(value) != "imagenet":
        value = str(path.parent / str(value))  # as seen from the file
    try:
        return option.type_cast_value(ctx, str(value))  # as it is typed: 1.5 is no whole number
    except click.BadParameter as error:
        raise click.UsageError(f"{place}: {error.message}") from None


def is_typed(name: str) -> bool:
    """Tell whether a person has typed an option of this command, rather than a file having it."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def print_config(request: "RunRequest") -> None:
    """Print every option of a run with its value and where that comes from, as a file that `--config` reads."""
    from pipelines.runs.local_start import LocalStart

    ctx = click.get_current_context()
    sources: Mapping[ParameterSource | None, str] = {
        ParameterSource.COMMANDLINE: "command line",
        ParameterSource.DEFAULT_MAP: str(ctx.meta.get(__name__)),
    }
    parameters, on_sample = LocalStart(request.home, Settings()).chosen(request)
    values = parameters | {"data": request.data, "labels": request.labels, "weights": request.weights}
    names = {key_of(name).replace("_", "-"): name for section in SECTIONS.values() for name in section}
    click.echo("# For the embedded sample" if on_sample else "# For labelled data of one's own")
    for title, section in SECTIONS.items():
        found = {key: names[key] for key in KEYS if names[key] in section and values.get(names[key]) is not None}
        lines = {f"{key} = {toml(values[name])}": name for key, name in found.items()}
        width = max(map(len, lines), default=0)
        if lines:
            click.echo(f"# {title}")
        for line, name in lines.items():
            default = "sample" if on_sample and name in SAMPLE_PARAMETERS else "default"
            click.echo(f"{line:<{width}}  # {sources.get(ctx.get_parameter_source(name), default)}")


def toml(value: Any) -> str:
    """Write a value as a file has it, and yes and no as what a flag is there."""
    return json.dumps({YES: True, NO: False}.get(value, value), ensure_ascii=False, default=str)


@command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option("--classes", metavar="NEG,POS", default=AUTO, help="Names of the negative and the positive class.")
def init(folder: Path, classes: str) -> None:
    """Make FOLDER ready for one's own screenshots: a folder for each class, and a commented tilegate.toml.

    FOLDER is the working folder if it is not given. Nothing that is there already is changed.
    """
    parsed = Classes.parse(classes)
    for name in (parsed.negative, parsed.positive):
        if Path(name).name != name:
            raise UserError(f"the class {name!r} cannot be the name of a folder: choose a plain name")
    config = folder / FILE_NAME
    if config.exists():
        raise UserError(f"{config} is there already: change it, or name another folder")
    for name in (parsed.negative, parsed.positive):
        (folder / SCREENSHOTS / name).mkdir(parents=True, exist_ok=True)
        click.echo(f"Folder   {folder / SCREENSHOTS / name}")
    with config.open("x", encoding="utf-8") as stream:
        stream.write("\n".join(_text(parsed)))
    click.echo(f"Config   {config}")
    click.echo("Next     put screenshots into the folders, then run the last line. A folder does not say which of them")
    click.echo("         are of one app, and must not be on both sides of a test: a table with a column `app` does")
    place = "" if folder == Path() else f"cd {folder} && "
    click.echo(f"         {place}tilegate data validate && tilegate run")


def _text(classes: Classes) -> Iterator[str]:
    yield _OPENING.format(screenshots=SCREENSHOTS)
    by_name = {parameter.name: parameter for parameter in PARAMETERS}
    for title, names in SECTIONS.items():
        if found := [by_name[name] for name in names if name in by_name]:
            yield f"## {title}\n"
            for parameter in found:
                given = parameter.name == "Classes" and classes.given
                value = classes.text if given else parameter.default
                yield f"# {help_of(parameter).partition('  [')[0]}"
                yield f"{'' if given else '# '}{key_of(parameter.name)} = {toml(value)}\n"
