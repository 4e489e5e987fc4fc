"""The Lambda function that EventBridge calls when an execution has ended: it records the execution in MLflow.

Its environment variables are TILEGATE_ENV (dev or prod) and TILEGATE_TRACKING_URI (the ARN of the managed MLflow). Let
one at a time run (reserved concurrency 1). An error is raised, so that the delivery is tried again and ends in the
dead-letter queue; nothing else waits for it.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from infra.handlers.runtime import open_deployment
from pipelines.tracking.managed import record


def handler(event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    """Take the event "SageMaker Model Building Pipeline Execution Status Change" of an ended execution."""
    arn = event["detail"]["pipelineExecutionArn"]
    deployment = open_deployment()
    run, made = record(deployment, arn, os.environ.get("TILEGATE_TRACKING_URI", ""))
    answer = {"execution": arn, "run": run, "made": made}
    print(json.dumps(answer))
    return answer
