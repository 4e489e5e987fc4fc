"""The lease of one starter at a time: an object that says who is at work and until when.

The lease makes nights follow each other, so that two deliveries do not take in different batches and ask two different
questions. It is not what makes executions unique: a starter that was suspended may wake up after its lease is over.
That is the claim's business (`pipelines.nightly.records`), and in SageMaker the ClientRequestToken's as well.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

from pipelines.storage.protocol import LostRace, NoSuchObject, ObjectStore

KEY = "nights/lease.json"
# Raises NightBusyError if the lease is over: somebody else may be at work.
Check = Callable[[], None]


class NightBusyError(Exception):
    """Somebody else is at work on a night, or was killed at it and its lease is not over."""


@contextmanager
def leased(objects: ObjectStore, duration: timedelta, clock: Callable[[], datetime]) -> Iterator[Check]:
    """Hold the lease, and yield what checks that it still is; raises NightBusyError at once if somebody else has it.

    Whoever is killed holds it until `duration` after it began, so that should be about how long a starter may run.
    """
    holder, now = secrets.token_hex(8), clock()
    try:
        data, etag = objects.get_with_etag(KEY)
    except NoSuchObject:
        data, etag = b"", ""
    until = _until(data)
    if until and now < until:
        raise NightBusyError(f"another starter is at work, at the latest until {until:%Y-%m-%d %H:%M:%S} UTC")
    mine = _bytes(holder, (now + duration).isoformat())
    try:
        etag = objects.put(KEY, mine, only_if_etag=etag) if etag else objects.put(KEY, mine, only_if_absent=True)
    except LostRace:
        raise NightBusyError("another starter has just begun") from None

    def check() -> None:
        found = objects.info(KEY)
        if found is None or found.etag != etag:
            raise NightBusyError("another starter has begun, because this one took longer than its lease")

    try:
        yield check
    finally:
        # Lost to somebody who came after its end: then it is theirs to give back.
        with suppress(LostRace):
            objects.put(KEY, _bytes(holder, ""), only_if_etag=etag)


def _bytes(holder: str, until: str) -> bytes:
    return json.dumps({"holder": holder, "until": until}).encode()


def _until(data: bytes) -> datetime | None:
    """Return until when a lease is held, None if it was given back (or says nothing that can be read)."""
    with suppress(ValueError, TypeError, KeyError):
        said: Any = json.loads(data)
        return datetime.fromisoformat(said["until"]) if said["until"] else None
    return None
