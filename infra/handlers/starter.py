"""The Lambda function that EventBridge Scheduler calls every night: it holds the night and tells what came of it.

Its environment variables are TILEGATE_ENV (dev or prod), and at will TILEGATE_MIN_NEW_LABELS, TILEGATE_MAX_AGE_DAYS,
TILEGATE_MAX_ATTEMPTS and TILEGATE_PARAMETERS (a JSON object of run parameters by name). The event may hold `force`,
`reason` and `parameters`, which go before the variable's. An error is raised, so that the delivery is tried again and
ends in the dead-letter queue; so is NightBusyError, because whoever is at work may have been killed.
"""

import json
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from infra.handlers.runtime import embedded, open_deployment
from pipelines.nightly.night import hold_night
from pipelines.nightly.site_aws import open_cloud_site, parameters_of, rules_of
from pipelines.runs.executions import Status

# The lease of a function that was killed ends when the service would have killed it; clocks differ a little.
_SPARE_SECONDS = 10


def handler(event: Mapping[str, Any], context: Any) -> dict[str, str]:
    """Hold a night; raises UserError with one sentence, which names for one the permission that is missing."""
    deployment = open_deployment()
    duration = timedelta(seconds=context.get_remaining_time_in_millis() / 1000 + _SPARE_SECONDS)
    chosen = parameters_of(os.environ) | dict(event.get("parameters") or {})
    site = open_cloud_site(deployment, chosen, duration=duration)
    rules = rules_of(os.environ, force=event.get("force") is True)
    held = hold_night(
        site, rules, reason=str(event.get("reason") or ""), tell=lambda line: print(json.dumps({"told": line}))
    )
    for record in held.ended:
        print(json.dumps({"ended": record.execution, "status": record.outcome.status, "why": record.outcome.reason}))
    rejections = sum(record.outcome.status is Status.REJECTED for record in held.ended)
    answer = {"night": held.line, "execution": held.execution}
    counts = {"Decisions": 1, "Rejections": rejections}
    print(json.dumps(embedded(deployment, counts) | answer))
    return answer
