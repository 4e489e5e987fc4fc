"""`tilegate run`: the whole pipeline on this machine."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipelines.cli.home import home_option
from pipelines.cli.weights import weights_option
from pipelines.definition.parameters import SAMPLE_PARAMETERS, Parameter, pipeline_parameters
from pipelines.definition.settings import Settings
from steps.core.common.choices import NO, YES

_SETTINGS = Settings()
# Set by the run itself: where the data, the weights and what a candidate is judged against lie in the store.
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
_PARAMETERS = tuple(p for p in pipeline_parameters(_SETTINGS) if p.name not in _OWN)

EXIT_ERROR = 1
EXIT_REJECTED = 3


def _flag(name: str) -> str:
    return "--" + re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def parameter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each parameter of a run; one that is not given is None."""
    for parameter in reversed(_PARAMETERS):
        if parameter.choices == (NO, YES):
            command = click.option(_flag(parameter.name), parameter.name, flag_value=YES, help=_help(parameter))(
                command
            )
            continue
        command = click.option(
            _flag(parameter.name), parameter.name, type=_click_type(parameter), help=_help(parameter)
        )(command)
    return command


def _click_type(parameter: Parameter) -> Any:
    return click.Choice(parameter.choices) if parameter.choices else parameter.kind


def _help(parameter: Parameter) -> str:
    text = parameter.help[0].upper() + parameter.help[1:]
    sample = SAMPLE_PARAMETERS.get(parameter.name)
    return f"{text}.  [{parameter.default}{'' if sample is None else f'; sample: {sample}'}]"


def activation_hint() -> str | None:
    """Return how `tilegate`, as all hints say it, becomes a command of the shell; None where it is one already."""
    # `uv run` has put it on the path of its children only.
    if "UV_RUN_RECURSION_DEPTH" not in os.environ and shutil.which("tilegate"):
        return None
    activate = shlex.quote(str(Path(sys.prefix) / "bin" / "activate"))
    return f"Shell         `source {activate}` makes `tilegate` a command of this shell"


@click.command()
@home_option
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Labelled screenshots: a folder, or a labels file in one. Without it, the batches that `tilegate data add` "
    "has added, or the embedded synthetic sample if there are none.",
)
@click.option("--labels", metavar="FILE", help="The labels file in --data, where there are several.")
@weights_option
@click.option("--sample", is_flag=True, help="The embedded synthetic sample, also where data have been added.")
@click.option("--resume", metavar="RUN", help="Go on with an interrupted run instead of starting a new one.")
@parameter_options
def run(
    home: Path,
    data: Path | None,
    labels: str | None,
    weights: Path | None,
    resume: str | None,
    *,
    sample: bool,
    **given: Any,
) -> None:
    """Run the whole pipeline on this machine, from labelled screenshots to a registered TFLite model.

    Steps whose inputs, code and arguments have not changed are reused. Exit code 0: a model waits for approval; 3: the
    gate rejected it; 1: an error.
    """
    from pipelines.runs.local_run import resume_run, run_pipeline
    from pipelines.runs.local_start import RunRequest

    chosen = {name: value for name, value in given.items() if value is not None}
    request = RunRequest(home, data, sample, weights, chosen, labels)
    outcome = resume_run(request, _SETTINGS, resume) if resume else run_pipeline(request, _SETTINGS)
    if hint := activation_hint():
        click.echo(hint)
    sys.exit({"Succeeded": 0, "Rejected": EXIT_REJECTED}.get(outcome, EXIT_ERROR))
