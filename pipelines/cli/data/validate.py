"""`tilegate data validate`: whether the data may be learned from."""

import sys
from typing import Any

from pipelines.cli.command import command
from pipelines.cli.config import config_option
from pipelines.cli.options import home_option
from pipelines.cli.parameters import parameter_options
from pipelines.cli.run import data_options, request_of
from pipelines.definition.settings import Settings


@command()
@config_option
@data_options
@parameter_options("Backbone", "Classes", "LabelAttribute", "MaxLabelChanges", "MaxFpr", "MinTpr")
@home_option
def validate(**given: Any) -> None:
    """Hold the labelled data against every rule, as a run does before it learns from them; nothing is trained.

    With --max-fpr or --min-tpr the data have to be able to prove them. A later `tilegate run` with the same parameters
    takes the result over. Exit code 0: good to learn from; 1: not.
    """
    from pipelines.runs.local_run import validate_data

    sys.exit(0 if validate_data(request_of(given), Settings()) else 1)
