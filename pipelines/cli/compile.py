"""`tilegate compile`: the definition that SageMaker runs, as JSON, and what would be wrong with it."""

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from pipelines.cli.command import command
from pipelines.cli.parameters import training_options
from pipelines.definition.settings import Settings
from pipelines.environment import ENVIRONMENTS, Environment
from steps.core.common.errors import UserError

_DEFAULTS = Settings()
_NAMED_BY_ENVIRONMENT = ("name", "bucket", "role_arn", "model_package_group")


@command(name="compile")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write; else stdout.")
@click.option("--check", is_flag=True, help="Only say what is wrong with it, or that nothing is.")
@click.option("--env", "environment", type=click.Choice(ENVIRONMENTS), help="Take every name from a deployment.")
@click.option("--account", help="AWS account of the deployment, twelve digits.")
@click.option("--region", default=_DEFAULTS.region, show_default=True, help="AWS region.")
@click.option("--name", help=f"Name of the pipeline.  [{_DEFAULTS.name}]")
@click.option("--bucket", help=f"Bucket of data and artefacts.  [{_DEFAULTS.bucket}]")
@click.option("--role-arn", help=f"Role that the jobs run under.  [{_DEFAULTS.role_arn}]")
@click.option("--data-image", help=f"Image without TensorFlow.  [{_DEFAULTS.data_image}]")
@click.option("--model-image", help=f"Image with TensorFlow.  [{_DEFAULTS.model_image}]")
@click.option("--model-package-group", help=f"Group of the models.  [{_DEFAULTS.model_package_group}]")
@click.option("--subnet", "subnets", multiple=True, help="Subnet of the jobs; several times for several.")
@click.option("--security-group", "security_groups", multiple=True, help="Security group of the jobs.")
@click.option("--kms-key-arn", help="Key that volumes and outputs are encrypted with.")
@training_options
def compile_command(
    output: Path | None, environment: str | None, account: str | None, *, check: bool, **given: Any
) -> None:
    """Compile the pipeline definition to JSON, offline, and look for whatever SageMaker would refuse.

    With --env it is checked as one for an account: images by digest, roles of an account. All problems are listed, of
    what no executor could run the first, and the exit code is then 1.
    """
    from pipelines.definition.compiler import compile_pipeline
    from pipelines.definition.lint import lint
    from steps.core.common.files import write_text

    chosen = {name: value for name, value in given.items() if value not in (None, ())}
    settings = _settings(environment, account, chosen)
    text = compile_pipeline(settings)
    definition = json.loads(text)
    if problems := lint(definition, settings.name, text=text, in_aws=environment is not None):
        for problem in problems:
            click.echo(f"error: {problem}", err=True)
        sys.exit(1)
    if check:
        parameters = len(definition["Parameters"])
        click.echo(f"{settings.name}: nothing is wrong in {len(text):,} characters with {parameters} parameters")
    elif output is None:
        click.echo(text, nl=False)
    else:
        write_text(output, text)
        click.echo(f"Wrote {len(text):,} characters to {output}", err=True)


def _settings(environment: str | None, account: str | None, given: Mapping[str, Any]) -> Settings:
    if ("subnets" in given) != ("security_groups" in given):
        raise UserError("--subnet and --security-group belong together: jobs in a network need both")
    if environment is None:
        if account:
            raise UserError("--account belongs to --env: without it give the names themselves, such as --role-arn")
        return dataclasses.replace(_DEFAULTS, **given)
    if account is None:
        raise UserError(f"--env {environment} needs --account, whose number is in the names")
    if named := [f"--{name.replace('_', '-')}" for name in _NAMED_BY_ENVIRONMENT if name in given]:
        raise UserError(f"{', '.join(named)}: --env {environment} already says it")
    return dataclasses.replace(Environment(environment, account, str(given["region"])).settings(), **given)
