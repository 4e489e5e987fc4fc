"""The options of a run's parameters, in the sections in which the help shows them, and of how training runs in AWS."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from pipelines.cli.options import Command, options
from pipelines.definition.parameters import (
    MOST_WARM_START_PARENTS,
    SAMPLE_PARAMETERS,
    Parameter,
    key_of,
    pipeline_parameters,
)
from pipelines.definition.settings import MOST_WARM_POOL_SECONDS, Settings
from steps.core.common.choices import NO, YES

# Set by the run itself, as are the URIs of what lies in the store: data, weights, what a candidate is compared with.
_OWN = ("Search", "ProcessingInstanceType", "TrainingInstanceType")
PARAMETERS = tuple(p for p in pipeline_parameters(Settings()) if p.name not in _OWN and not p.name.endswith("Uri"))
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Everyday": ("data", "inbox", "weights", "Classes", "MaxFpr", "resume", "environment", "force", "reason"),
    "Data": ("sample", "labels", "LabelAttribute", "MaxLabelChanges"),
    "Night": ("settle", "min_new_labels", "max_age", "max_attempts"),
    "Learning": (
        "Backbone",
        "TileSize",
        "BatchSize",
        "FineTuneEpochs",
        "LearningRateMin",
        "LearningRateMax",
        "MaxTuningJobs",
    ),
    "Gate": ("MinTpr", "ChampionRule", "MaxFprIncrease", "MaxTprDecrease", "TrainAnyway", "Variants", "MaxFlipped"),
    "Fleet": ("Phones", "ScreenshotsPerDay", "ReviewSeconds"),
    "Machine": (
        "home",
        "config",
        "printing",
        "region",
        "MaxParallelTuningJobs",
        "ProcessingInstanceCount",
        "TrainingInstanceCount",
    ),
}


def parameter_options(*names: str) -> Callable[[Command], Command]:
    """Add an option for each parameter of a run, or for those named; one that is not given is None."""
    return options(*(_option(parameter) for parameter in PARAMETERS if not names or parameter.name in names))


def chosen(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters among the options of a command, those that were given."""
    return {p.name: given[p.name] for p in PARAMETERS if given.get(p.name) is not None}


def _option(parameter: Parameter) -> Callable[[Command], Command]:
    kind: dict[str, Any] = {"type": click.Choice(parameter.choices) if parameter.choices else parameter.kind}
    if parameter.choices == (NO, YES):
        kind = {"flag_value": YES}
    return click.option(f"--{key_of(parameter.name)}", parameter.name, help=help_of(parameter), **kind)


def help_of(parameter: Parameter) -> str:
    text = parameter.help[0].upper() + parameter.help[1:]
    sample = SAMPLE_PARAMETERS.get(parameter.name)
    return f"{text}.  [{parameter.default}{'' if sample is None else f'; sample: {sample}'}]"


# They belong to a definition, and so to whatever compiles one; None stands for what was not given.
training_options = options(
    click.option(
        "--warm-start-parents",
        type=click.IntRange(0, MOST_WARM_START_PARENTS),
        help="How many earlier tuning jobs the tuning learns from; each start names them.  [0]",
    ),
    click.option("--spot/--no-spot", default=None, help="Train on spare capacity, from checkpoints.  [no]"),
    click.option(
        "--warm-pool",
        "warm_pool_seconds",
        type=click.IntRange(0, MOST_WARM_POOL_SECONDS),
        help="Seconds that a trial's instances wait for the next training; the quota of warm pools is 0 until it is "
        "raised, and spot has none.  [0]",
    ),
    click.option(
        "--volume-key/--no-volume-key",
        "training_volume_key",
        default=None,
        help="Encrypt the volumes of training with the key; instances with disks of their own (g4dn, g5) refuse it.  "
        "[yes]",
    ),
)
