"""The nights of an environment in AWS, opened for the Lambda function and for people's commands."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pipelines.nightly.decide import Rules
from pipelines.nightly.site_aws import CloudSite
from pipelines.storage.s3 import S3Objects
from steps.core.common.errors import UserError

if TYPE_CHECKING:
    from pipelines.aws.session import Deployment
    from pipelines.registry.protocol import ModelRegistry

_RULES = {
    "TILEGATE_MIN_NEW_LABELS": ("min_new_labels", int),
    "TILEGATE_MAX_AGE_DAYS": ("max_age_days", float),
    "TILEGATE_MAX_ATTEMPTS": ("max_attempts", int),
}
_PARAMETERS = "TILEGATE_PARAMETERS"


def open_cloud_site(
    deployment: "Deployment", chosen: Mapping[str, Any], *, duration: timedelta = timedelta(minutes=15)
) -> CloudSite:
    """Open the nights of an environment; `chosen` are run parameters by name, `duration` as `CloudSite` has it."""

    def registry() -> "ModelRegistry":
        from pipelines.registry.opening import registry_of

        return registry_of(deployment).registry

    environment, s3 = deployment.environment, deployment.client("s3")
    return CloudSite(
        environment,
        client=deployment.client("sagemaker"),
        data=S3Objects(s3, environment.data_bucket),
        artifacts=S3Objects(s3, environment.artifact_bucket),
        registry=registry,
        chosen=chosen,
        duration=duration,
    )


def rules_of(variables: Mapping[str, str], *, force: bool = False) -> Rules:
    """Return the rules that a function's environment variables give; raises UserError for one that is none."""
    given: dict[str, Any] = {"force": force}
    for variable, (name, kind) in _RULES.items():
        if text := variables.get(variable, ""):
            try:
                given[name] = kind(text)
            except ValueError:
                raise UserError(f"{variable} is {text!r}: a number is wanted") from None
    return Rules(**given)


def parameters_of(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the run parameters that TILEGATE_PARAMETERS gives, a JSON object; raises UserError for anything else."""
    text = variables.get(_PARAMETERS) or "{}"
    try:
        chosen = json.loads(text)
    except ValueError:
        chosen = None
    if not isinstance(chosen, dict):
        raise UserError(f"{_PARAMETERS} is {text[:80]!r}: a JSON object of run parameters by name is wanted")
    return chosen
