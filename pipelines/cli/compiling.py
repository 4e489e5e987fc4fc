"""`tilegate compile`: the definition that SageMaker runs, as JSON."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import click

from pipelines.parameters import MOST_WARM_START_PARENTS
from pipelines.settings import Settings

_DEFAULTS = Settings()


@click.command("compile")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write; else stdout.")
@click.option("--name", default=_DEFAULTS.name, show_default=True, help="Name of the pipeline.")
@click.option("--region", default=_DEFAULTS.region, show_default=True, help="AWS region.")
@click.option("--bucket", default=_DEFAULTS.bucket, show_default=True, help="Bucket of data and artefacts.")
@click.option("--role-arn", default=_DEFAULTS.role_arn, show_default=True, help="Role that the jobs run under.")
@click.option("--data-image", default=_DEFAULTS.data_image, show_default=True, help="Image without TensorFlow.")
@click.option("--model-image", default=_DEFAULTS.model_image, show_default=True, help="Image with TensorFlow.")
@click.option(
    "--model-package-group", default=_DEFAULTS.model_package_group, show_default=True, help="Group of the models."
)
@click.option(
    "--warm-start-parents",
    type=click.IntRange(0, MOST_WARM_START_PARENTS),
    default=0,
    show_default=True,
    help="How many earlier tuning jobs the tuning learns from; each start names them.",
)
def compile_command(output: Path | None, **settings: Any) -> None:
    """Compile the pipeline definition to JSON, offline, and hold every request in it against the SageMaker API."""
    import json

    from pipelines.compiler import compile_pipeline
    from pipelines.requests import check_requests
    from steps.core.files import write_text

    text = compile_pipeline(dataclasses.replace(_DEFAULTS, **settings))
    if problems := check_requests(json.loads(text)):
        for problem in problems:
            click.echo(f"error: {problem}", err=True)
        sys.exit(1)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_text(output, text)
        click.echo(f"Wrote {len(text):,} characters to {output}", err=True)
