"""The Lambda function that alone signs releases and moves channels, on approvals and on people's requests.

Its environment variables are TILEGATE_ENV (dev or prod), TILEGATE_CHANNEL and TILEGATE_PERCENT: where, and to what
share of the installations, an approved version is published at first; and TILEGATE_TRUSTED_KEYS, the public keys that
count beside its own. It takes EventBridge's "SageMaker Model Package State Change", and the requests of `tilegate
release`. What a person has to mend is reported and not raised, because a further delivery would not mend it: as the
answer to a request, as metric RefusedReleases for an event. Anything else is raised, so that the event is delivered
again and ends in the dead-letter queue.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from infra.handlers.runtime import embedded, open_deployment, variable
from pipelines.release.opening import publisher_of
from pipelines.release.publisher import RefusedError, perform
from pipelines.release.verify import pem_of
from steps.core.common.errors import UserError


def handler(event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    """Follow an approval or do what a request asks for; the answer to a request holds `state` or `error`."""
    deployment = open_deployment()
    publisher = publisher_of(deployment, map(pem_of, os.environ.get("TILEGATE_TRUSTED_KEYS", "").split()))
    if "action" in event:
        print(json.dumps({"request": dict(event)}))
        try:
            return {"state": perform(publisher, event)}
        except UserError as error:
            print(json.dumps({"refused": str(error)}))
            return {"error": str(error)}
    detail = event["detail"]
    if detail["ModelPackageGroupName"] != publisher.group or detail["ModelApprovalStatus"] != "Approved":
        print(json.dumps({"ignored": f"{detail['ModelPackageGroupName']} is {detail['ModelApprovalStatus']}"}))
        return {}
    version = int(detail["ModelPackageVersion"])
    try:
        percent = int(variable("TILEGATE_PERCENT", "a whole number from 0 to 100"))
        state = publisher.follow(version, variable("TILEGATE_CHANNEL", "a channel"), percent)
    except RefusedError as error:
        print(json.dumps(embedded(deployment, {"RefusedReleases": 1}) | {"refused": str(error)}))
        return {"error": str(error)}
    outcome = str(state) if state else f"version {version} is not the last approval of its group: nothing moves"
    print(json.dumps({"release": outcome}))
    return {"state": outcome}
