"""`tilegate run`: the whole pipeline on this machine."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from pipelines.cli.command import command
from pipelines.cli.config import config_option, is_typed, print_config
from pipelines.cli.home import home_option
from pipelines.cli.parameters import SECTIONS, parameter_options
from pipelines.cli.weights import weights_option
from pipelines.definition.settings import Settings

EXIT_ERROR = 1
EXIT_REJECTED = 3


def activation_hint() -> str | None:
    """Return how `tilegate`, as all hints say it, becomes a command of the shell; None where it is one already."""
    # `uv run` has put it on the path of its children only.
    if "UV_RUN_RECURSION_DEPTH" not in os.environ and shutil.which("tilegate"):
        return None
    activate = shlex.quote(str(Path(sys.prefix) / "bin" / "activate"))
    return f"Shell         `source {activate}` makes `tilegate` a command of this shell"


@command(sections=SECTIONS)
@home_option
@config_option
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Labelled screenshots: a folder, or a labels file in one. Without it, the batches that `tilegate data add` "
    "has added, or the embedded synthetic sample if there are none.",
)
@click.option("--labels", metavar="FILE", help="The labels file in --data, where there are several.")
@weights_option
@click.option("--sample", is_flag=True, is_eager=True, help="The embedded synthetic sample, also where there are data.")
@click.option(
    "--resume", metavar="RUN", is_eager=True, help="Go on with an interrupted run instead of starting a new one."
)
@click.option(
    "--print-config", "printing", is_flag=True, help="Print every option and where it comes from; run nothing."
)
@parameter_options
def run(
    home: Path,
    data: Path | None,
    labels: str | None,
    weights: Path | None,
    resume: str | None,
    *,
    sample: bool,
    printing: bool,
    **given: Any,
) -> None:
    """Run the whole pipeline on this machine, from labelled screenshots to a registered TFLite model.

    Steps whose inputs, code and arguments have not changed are reused. Exit code 0: a model waits for approval; 3: the
    gate rejected it; 1: an error.
    """
    from pipelines.runs.local_run import resume_run, run_pipeline
    from pipelines.runs.local_start import LocalStart, RunRequest

    ctx = click.get_current_context()
    if data and sample:
        raise click.UsageError("--data and --sample name different data: give one of them")
    if is_typed(ctx, "data") and not is_typed(ctx, "labels"):
        labels = None  # the file's are of other data
    settings = Settings()
    chosen = {name: value for name, value in given.items() if value is not None}
    request = RunRequest(home, data, sample, weights, chosen, labels)
    if printing:
        values, on_sample = LocalStart(home, settings).chosen(request)
        print_config(
            ctx,
            {**values, "data": data and str(data), "labels": labels, "weights": weights and str(weights)},
            on_sample=on_sample,
        )
        return
    outcome = resume_run(request, settings, resume) if resume else run_pipeline(request, settings)
    if hint := activation_hint():
        click.echo(hint)
    sys.exit({"Succeeded": 0, "Rejected": EXIT_REJECTED}.get(outcome, EXIT_ERROR))
