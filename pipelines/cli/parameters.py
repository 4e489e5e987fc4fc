"""The options of a run's parameters, and the sections in which the help of `run`, `start` and `nightly` shows them."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from pipelines.definition.parameters import SAMPLE_PARAMETERS, Parameter, key_of, pipeline_parameters
from pipelines.definition.settings import Settings
from steps.core.common.choices import NO, YES

# Set by the run itself: where the data, the weights and what a candidate is compared with lie in the store.
_OWN = (
    "DatasetUri",
    "PlanUri",
    "CheckpointsUri",
    "PretrainedWeightsUri",
    "ChampionUri",
    "LedgerUri",
    "Search",
    "ProcessingInstanceType",
    "TrainingInstanceType",
)
PARAMETERS = tuple(p for p in pipeline_parameters(Settings()) if p.name not in _OWN)
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


def parameter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each parameter of a run; one that is not given is None."""
    for parameter in reversed(PARAMETERS):
        kind: dict[str, Any] = {"type": click.Choice(parameter.choices) if parameter.choices else parameter.kind}
        if parameter.choices == (NO, YES):
            kind = {"flag_value": YES}
        flag = f"--{key_of(parameter.name)}"
        command = click.option(flag, parameter.name, help=help_of(parameter), **kind)(command)
    return command


def help_of(parameter: Parameter) -> str:
    text = parameter.help[0].upper() + parameter.help[1:]
    sample = SAMPLE_PARAMETERS.get(parameter.name)
    return f"{text}.  [{parameter.default}{'' if sample is None else f'; sample: {sample}'}]"
