"""The catalogue of this machine as commands on data open it, and how they read its labels."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pipelines.cli.options import home_option, options
from steps.core.common.errors import UserError
from steps.core.dataset.classes import AUTO, Classes, LabelError

if TYPE_CHECKING:
    from pipelines.data.catalogue import Catalogue

labels_options = options(
    click.option(
        "--classes",
        metavar="NEG,POS",
        default=AUTO,
        show_default=True,
        help="Names of the negative and the positive class; binding if given.",
    ),
    click.option(
        "--label-attribute",
        default=AUTO,
        show_default=True,
        help="The Ground Truth manifest's label attribute, where it has several.",
    ),
)


class LabelledData(NamedTuple):
    """The catalogue of a home, with the classes and the label attribute by which its labels are read."""

    home: Path
    catalogue: "Catalogue"
    classes: Classes
    attribute: str | None

    @property
    def names(self) -> tuple[str, str]:
        return self.classes.negative, self.classes.positive

    def label(self, text: str) -> int:
        """Return 0 or 1 for a label that a person typed; raises UserError that names the classes."""
        try:
            return self.classes.index(text)
        except LabelError as error:
            raise UserError(f"{error}; --classes NEG,POS tells other names") from None


def labelled_data_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--classes`, `--label-attribute` and `--home`; the command gets the catalogue, so read, as `data`."""

    @functools.wraps(command)
    def opened(*, home: Path, classes: str, label_attribute: str, **others: Any) -> None:
        command(data=_read(home, Classes.parse(classes), attribute_of(label_attribute)), **others)

    return options(labels_options, home_option)(opened)


def _read(home: Path, classes: Classes, attribute: str | None) -> LabelledData:
    """Open a catalogue; what is not given is as the batches or the last run have it.

    Raises UserError if what is given contradicts a batch.
    """
    from pipelines.data.validated_runs import as_last_run
    from steps.core.dataset.rows import check_readings, common_classes

    catalogue = open_catalogue(home)
    batches = catalogue.batches()
    check_readings(batches, classes, attribute)
    names = common_classes(batches, classes)
    if not names.given:
        names = Classes.parse(as_last_run(home, "Classes"))
    attribute = attribute or attribute_of(as_last_run(home, "LabelAttribute"))
    return LabelledData(home, catalogue, names, attribute)


def attribute_of(label_attribute: str) -> str | None:
    return None if label_attribute == AUTO else label_attribute


def open_catalogue(home: Path) -> "Catalogue":
    from pipelines.data.catalogue import Catalogue
    from pipelines.definition.settings import Settings
    from pipelines.executor.store import LocalStore

    return Catalogue(LocalStore(home / "store"), Settings())


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
