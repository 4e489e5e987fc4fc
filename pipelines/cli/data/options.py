"""Common parts of the commands on data: the catalogue, how labels are read, how sizes are written."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pipelines.data.catalogue import Catalogue
    from steps.core.dataset.classes import Classes

Command = TypeVar("Command", bound=Callable[..., Any])
AUTO = "auto"


def labels_options(command: Command) -> Command:
    """Add `--classes` and `--label-attribute`, which mean what they mean to a run."""
    command = click.option(
        "--label-attribute",
        default=AUTO,
        show_default=True,
        help="The Ground Truth manifest's label attribute, where it has several.",
    )(command)
    return click.option(
        "--classes",
        metavar="NEG,POS",
        default=AUTO,
        show_default=True,
        help="Names of the negative and the positive class; binding if given.",
    )(command)


def attribute_of(label_attribute: str) -> str | None:
    return None if label_attribute == AUTO else label_attribute


def reading_of(home: Path, classes: str, label_attribute: str) -> "tuple[Classes, str | None]":
    """Return the classes and the label attribute: those given, else what the batches or the last run call them.

    Raises UserError if what is given contradicts a batch.
    """
    from pipelines.data.validated_runs import as_last_run
    from steps.core.dataset.classes import Classes
    from steps.core.dataset.rows import check_readings, common_classes

    catalogue = open_catalogue(home)
    batches, attribute = catalogue.batches(), attribute_of(label_attribute)
    check_readings(batches, Classes.parse(classes), attribute)
    names = common_classes(batches, Classes.parse(classes))
    if not names.given:
        names = Classes.parse(as_last_run(home, "Classes"))
    return names, attribute or attribute_of(as_last_run(home, "LabelAttribute"))


def open_catalogue(home: Path) -> "Catalogue":
    from pipelines.data.catalogue import Catalogue
    from pipelines.definition.settings import Settings
    from pipelines.executor.store import LocalStore

    return Catalogue(LocalStore(home / "store"), Settings())


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
