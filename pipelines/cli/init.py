"""`tilegate init`: a folder for one's own screenshots, and a configuration that names every option."""

from collections.abc import Iterator
from pathlib import Path

import click

from pipelines.cli.command import command
from pipelines.cli.config import FILE_NAME, toml
from pipelines.cli.parameters import PARAMETERS, SECTIONS, help_of, key_of
from steps.core.common.errors import UserError
from steps.core.dataset.classes import AUTO, Classes

SCREENSHOTS = "screenshots"
_OPENING = """\
# What `tilegate run`, `tilegate nightly` and `tilegate data validate` take where it is not typed. Every other option
# stands below with its default. `tilegate run --print-config` shows what counts. Paths are as seen from this file.

# Labelled screenshots. Without this line, the batches that `tilegate data add` has added.
data = "{screenshots}"
# "imagenet" is fetched once; or a Keras *.weights.h5 of MobileNetV3 without its top, or a folder of them.
weights = "imagenet"
"""


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
