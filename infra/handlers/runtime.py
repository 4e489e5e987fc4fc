"""What functions get and leave: environment variables, the deployment they belong to, and metrics in their log."""

import os
import time
from collections.abc import Mapping
from typing import Any

from pipelines.aws.session import Deployment, open_environment
from steps.core.common.errors import UserError


def variable(name: str, wanted: str) -> str:
    """Return a variable that has to be there; raises UserError that names it and what is `wanted`."""
    if value := os.environ.get(name):
        return value
    raise UserError(f"the function's environment variable {name} is not set: {wanted} is wanted; deploy it again")


def open_deployment() -> Deployment:
    """Open the environment that the function belongs to; raises UserError if it was not told which."""
    return open_environment(variable("TILEGATE_ENV", "dev or prod"), variable("AWS_REGION", "the name of a region"))


def embedded(deployment: Deployment, counts: Mapping[str, int]) -> dict[str, Any]:
    """Return what a log line holds, as JSON, for CloudWatch to make metrics without dimensions of it.

    The format is CloudWatch's embedded metric format, which needs no call and no permission.
    """
    named = [{"Name": name, "Unit": "Count"} for name in counts]
    metrics = {"Namespace": deployment.environment.metric_namespace, "Dimensions": [[]], "Metrics": named}
    return {"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metrics]}, **counts}
