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
    """Return the classes and the label attribute: those given, else those of the last run on the catalogue."""
    from pipelines.data.validated_runs import as_last_run
    from pipelines.executor.store import LocalStore
    from steps.core.dataset.classes import Classes

    store = LocalStore(home / "store")
    names = as_last_run(home, store, "Classes", classes)
    return Classes.parse(names), attribute_of(as_last_run(home, store, "LabelAttribute", label_attribute))


def open_catalogue(home: Path) -> "Catalogue":
    from pipelines.data.catalogue import Catalogue
    from pipelines.definition.settings import Settings
    from pipelines.executor.store import LocalStore

    return Catalogue(LocalStore(home / "store"), Settings())


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
