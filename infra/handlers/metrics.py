"""Metrics of functions in CloudWatch's embedded metric format: a log line, so no call and no permission."""

import time
from collections.abc import Mapping
from typing import Any


def embedded(namespace: str, counts: Mapping[str, int]) -> dict[str, Any]:
    """Return what a log line holds, as JSON, for CloudWatch to make metrics without dimensions of it."""
    named = [{"Name": name, "Unit": "Count"} for name in counts]
    told = {"Namespace": namespace, "Dimensions": [[]], "Metrics": named}
    return {"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [told]}, **counts}
