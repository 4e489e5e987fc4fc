"""Withdrawals: of batches, which no new snapshot has, and of screenshots, which nobody may bring again.

`withdrawn/batches/<batch>/<number>.json` and `withdrawn/images/<sha256>.json` say who did it, why and when. Records are
only ever added. A batch is withdrawn while the number of its records is odd: the second one undoes the first.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC
from typing import Any, Self

from pipelines.data.clock import Clock
from pipelines.storage.protocol import LostRace, ObjectStore
from steps.core.common.errors import UserError

WITHDRAWN = "withdrawn"
_BATCHES, _IMAGES = f"{WITHDRAWN}/batches/", f"{WITHDRAWN}/images/"
# Their names have four digits, in whose order they stand.
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """`what` is the name of a batch or the sha256 of a screenshot, `at` an ISO 8601 time in UTC.

    Of a screenshot `bytes` is the size of its file, 0 if no batch had it, and `batches` are those that had it.
    """

    what: str
    by: str
    reason: str
    at: str
    bytes: int = 0
    batches: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say who, when and why."""
        return f"by {self.by} on {self.at[:10]}: {self.reason}"

    @classmethod
    def read(cls, data: ObjectStore, key: str) -> Self:
        """Read a record; raises UserError."""
        try:
            value: dict[str, Any] = json.loads(data.get(key))
            return cls(**{**value, "batches": tuple(value["batches"])})
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{data.uri(key)} is no record of a withdrawal ({error!r}): restore it") from None


def withdrawn_batches(data: ObjectStore) -> set[str]:
    """Return the names of the batches that are withdrawn now: a listing tells."""
    records = Counter(info.key.split("/")[2] for info in data.list(_BATCHES))
    return {name for name, count in records.items() if count % 2}


def last_withdrawal(data: ObjectStore, batch: str) -> Withdrawal:
    """Return the newest record of a batch that has one."""
    *_, last = data.list(f"{_BATCHES}{batch}/")
    return Withdrawal.read(data, last.key)


def erased_images(data: ObjectStore) -> frozenset[str]:
    """Return the sha256 of all screenshots that were erased, or were begun to be: a listing tells."""
    return frozenset(info.key.removeprefix(_IMAGES).removesuffix(".json") for info in data.list(_IMAGES))


def erasure_of(data: ObjectStore, sha256: str) -> Withdrawal | None:
    """Return the record of a screenshot's erasure, None if there is none."""
    key = f"{_IMAGES}{sha256}.json"
    return Withdrawal.read(data, key) if data.info(key) else None


def withdraw_batch(data: ObjectStore, batch: str, *, by: str, reason: str, clock: Clock, undo: bool = False) -> None:
    """Record that a batch is withdrawn, or with `undo` that it no longer is.

    What the same person has said last for the same reason was killed or unheard, and stays; raises UserError if it is
    so already for another.
    """
    record = _record(batch, by, reason, clock)
    count = sum(1 for _ in data.list(f"{_BATCHES}{batch}/"))
    if count % 2 != undo:
        last = last_withdrawal(data, batch) if count else None
        if last and (last.by, last.reason) == (record.by, record.reason):
            return
        raise UserError(f"the batch {batch} is {f'withdrawn already, {last}' if count % 2 else 'not withdrawn'}")
    if count >= _MOST:
        raise UserError(f"the batch {batch} was withdrawn and brought back {count:,} times: that is enough")
    try:
        _put(data, f"{_BATCHES}{batch}/{count + 1:04d}.json", record)
    except LostRace:
        raise UserError(f"somebody else has just withdrawn the batch {batch}, or brought it back: look again") from None


def record_erasure(data: ObjectStore, sha256: str, *, by: str, reason: str, clock: Clock, **found: Any) -> Withdrawal:
    """Record that a screenshot is erased, from now on kept out; a record that is there already stays and is returned.

    `found` are the fields `bytes` and `batches`.
    """
    record = _record(sha256, by, reason, clock, **found)
    try:
        _put(data, f"{_IMAGES}{sha256}.json", record)
    except LostRace:
        return Withdrawal.read(data, f"{_IMAGES}{sha256}.json")
    return record


def _record(what: str, by: str, reason: str, clock: Clock, **found: Any) -> Withdrawal:
    if not by.strip() or not reason.strip():
        raise UserError("--by and --reason are wanted, and not empty: they are kept for whoever asks later")
    return Withdrawal(what, by.strip(), reason.strip(), clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), **found)


def _put(data: ObjectStore, key: str, record: Withdrawal) -> None:
    data.put(key, (json.dumps(asdict(record), indent=1, ensure_ascii=False) + "\n").encode(), only_if_absent=True)
