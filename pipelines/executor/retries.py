"""Trying a failed step again, as its RetryPolicies say."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pipelines.executor.definition import RetryPolicy
from pipelines.executor.errors import RunStopped, StepFailed

Result = TypeVar("Result")
OnRetry = Callable[[int, int, str, float], None]
Sleep = Callable[[float], None]


def attempt(
    work: Callable[[], Result],
    policies: Sequence[RetryPolicy],
    *,
    on_retry: OnRetry,
    sleep: Sleep | None,
    stop: threading.Event,
) -> Result:
    """Call `work` until it succeeds or no policy allows another attempt.

    The first policy that names the failure's kind decides; each policy counts its own attempts. `on_retry` gets the
    next attempt, how many there may be, the reason and the seconds waited before it. Raises the last StepFailed.
    """
    used: dict[RetryPolicy, int] = {}
    began, number = time.monotonic(), 1
    while True:
        try:
            return work()
        except StepFailed as error:
            policy = next((policy for policy in policies if error.kind in policy.kinds), None)
            if policy is None:
                raise
            retries = used.get(policy, 0)
            wait = policy.interval_seconds * policy.backoff_rate**retries
            spent = time.monotonic() - began
            if retries >= policy.max_attempts or spent + wait > policy.expire_seconds:
                raise
            used[policy] = retries + 1
            number += 1
            on_retry(number, policy.max_attempts + 1, error.reason, wait)
        if sleep is not None:
            sleep(wait)
        elif stop.wait(wait):
            raise RunStopped
