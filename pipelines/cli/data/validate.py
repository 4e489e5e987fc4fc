"""`tilegate data validate`: whether the data may be learned from."""

import sys
from pathlib import Path

import click

from pipelines.cli.command import command
from pipelines.cli.config import config_option, is_typed
from pipelines.cli.data.options import labels_options
from pipelines.cli.home import home_option
from pipelines.cli.weights import weights_option
from steps.core.common.choices import BACKBONES


@command()
@config_option
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Labelled screenshots that need not be added: a folder, or a labels file in one.",
)
@click.option("--labels", metavar="FILE", help="The labels file in --data, where there are several.")
@click.option(
    "--sample", is_flag=True, is_eager=True, help="The embedded synthetic sample, also where data have been added."
)
@weights_option
@click.option("--backbone", type=click.Choice(BACKBONES), help="What the weights are of.")
@labels_options
@click.option(
    "--max-label-changes", type=float, help="Largest share of labels that may have changed since the last run, 0 to 1."
)
@click.option(
    "--max-fpr",
    type=float,
    help="Limit of the false-positive rate that the data have to be able to prove, as a run asks for it.",
)
@click.option("--min-tpr", type=float, help="Floor of the true-positive rate, as a run asks for it.")
@home_option
def validate(
    home: Path,
    data: Path | None,
    labels: str | None,
    weights: Path | None,
    *,
    sample: bool,
    **given: str | float | None,
) -> None:
    """Hold the labelled data against every rule, as a run does before it learns from them; nothing is trained.

    A later `tilegate run` with the same parameters takes the result over. Exit code 0: good to learn from; 1: not.
    """
    from pipelines.definition.settings import Settings
    from pipelines.runs.local_start import RunRequest
    from pipelines.runs.validate_only import validate_data

    if data and sample:
        raise click.UsageError("--data and --sample name different data: give one of them")
    ctx = click.get_current_context()
    if is_typed(ctx, "data") and not is_typed(ctx, "labels"):
        labels = None  # the file's are of other data
    names = {
        "classes": "Classes",
        "label_attribute": "LabelAttribute",
        "max_label_changes": "MaxLabelChanges",
        "backbone": "Backbone",
        "max_fpr": "MaxFpr",
        "min_tpr": "MinTpr",
    }
    parameters = {names[option]: value for option, value in given.items() if value not in (None, "auto")}
    sys.exit(0 if validate_data(RunRequest(home, data, sample, weights, parameters, labels), Settings()) else 1)
