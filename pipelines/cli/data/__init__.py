"""`tilegate data`: the labelled data that a machine holds."""

import click

from pipelines.cli.data.add import add
from pipelines.cli.data.decide import decide
from pipelines.cli.data.diff import diff
from pipelines.cli.data.gc import gc
from pipelines.cli.data.quarantine import quarantine
from pipelines.cli.data.readmit import readmit
from pipelines.cli.data.show import show
from pipelines.cli.data.status import status
from pipelines.cli.data.validate import validate


@click.group()
def data() -> None:
    """Add labelled screenshots, look at what is there, and mend what is wrong with them."""


for command in (add, status, show, validate, quarantine, decide, readmit, diff, gc):
    data.add_command(command)
