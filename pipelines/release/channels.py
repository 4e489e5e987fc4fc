"""A channel: the signed pointer that phones follow, and the log of all its states.

Every state of a channel is first written as `channels/<name>/history/<sequence>.json`, only if there is none of that
number: so one of two writers wins, and the log alone says what was decided. `channels/<name>.json`, which phones read,
is the same bytes as the log's last entry; it follows in one conditional write and never goes back. Where a writer was
killed between the two, the next one lets it follow.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pipelines.registry.journal import Journal
from pipelines.release.signers import sealed
from pipelines.release.store import Release, ReleaseStore
from pipelines.release.verify import CHANNEL_TYPE, FORMAT, VerificationError, channel_names, entry, pointer, read_log
from pipelines.storage.protocol import LostRace, NoSuchObject
from steps.core.common.errors import UserError

WHOLE = 100
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class State:
    """What a channel says: `percent` of the installations run `release`, the others `otherwise` (None: no model).

    `approved` is the moment of the approval that a publication follows, so that its event moves a channel once;
    `identity` is who was signed in where it was asked for (an ARN), "" where nobody asks.
    """

    channel: str
    release: Release
    percent: int
    otherwise: Release | None
    by: str
    reason: str
    identity: str = ""
    approved: str = ""
    sequence: int = 0
    moment: str = ""

    def payload(self, previous_sha256: str) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "channel": self.channel,
            "sequence": self.sequence,
            "moment": self.moment,
            "release": asdict(self.release),
            "rollout": {
                "percent": self.percent,
                "salt": f"{self.channel}/{self.release.version}",
                "otherwise": asdict(self.otherwise) if self.otherwise else None,
            },
            "by": self.by,
            "reason": self.reason,
            "approved": self.approved,
            "identity": self.identity,
            "previous_sha256": previous_sha256,
        }

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> "State":
        rollout = payload["rollout"]
        return cls(
            channel=payload["channel"],
            sequence=payload["sequence"],
            moment=payload["moment"],
            release=Release(**payload["release"]),
            percent=rollout["percent"],
            otherwise=Release(**rollout["otherwise"]) if rollout["otherwise"] else None,
            by=payload["by"],
            reason=payload["reason"],
            approved=payload["approved"],
            identity=payload.get("identity", ""),
        )

    def __str__(self) -> str:
        others = f"version {self.otherwise.version}" if self.otherwise else "no model"
        share = "to all" if self.percent == WHOLE else f"to {self.percent} %, {others} to the others"
        return f"{self.channel} {self.sequence}: version {self.release.version} {share}"


# Given the present state (None for a new channel), returns what to change it to, or None to leave it; sequence number
# and moment are given to it.
Change = Callable[[State | None], State | None]


class Channels:
    """The channels of a release bucket; whatever is read of them is verified. `clock` gives the present moment.

    `memory` keeps each channel's highest sequence number apart from the bucket, so that a log that was cut off is
    noticed; a bucket in which nothing can be removed needs none.
    """

    def __init__(
        self,
        store: ReleaseStore,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        memory: Journal | None = None,
    ) -> None:
        self._store, self._clock, self._memory = store, clock, memory

    def names(self) -> list[str]:
        return channel_names(self._store.bucket)

    def seen(self, name: str) -> int:
        """Return the highest sequence number that is known of a channel."""
        return self._memory.seen(checked_name(name)) if self._memory else 0

    def latest(self, name: str) -> State | None:
        """Return what was decided last, which phones read as soon as the pointer has followed."""
        return next(reversed(self.history(name)), None)

    def history(self, name: str) -> list[State]:
        """Return the states of a channel, the oldest first; raises UserError for one that is not as it was signed."""
        return self._read(checked_name(name))[0]

    def move(self, name: str, change: Change) -> State:
        """Change a channel and return what it says then; the same as before if `change` returns None.

        Where somebody else was faster the change is worked out again on what they have made of the channel.
        """
        for _ in range(_ATTEMPTS):
            history, envelopes = self._read(checked_name(name))
            state = wanted = history[-1] if history else None
            if changed := change(state):
                moment = self._clock().isoformat(timespec="seconds")
                wanted = replace(changed, sequence=len(history) + 1, moment=moment)
                payload = wanted.payload(hashlib.sha256(envelopes[-1]).hexdigest() if envelopes else "")
                envelopes = (*envelopes, sealed(payload, CHANNEL_TYPE, self._store.signer))
                try:
                    self._store.objects.put(entry(name, wanted.sequence), envelopes[-1], only_if_absent=True)
                except LostRace:
                    continue
            if wanted is None:
                raise UserError(f"there is no channel {name}: publish a version to it first")
            if self._memory:
                self._memory.remember(name, wanted.sequence)
            self._follow(name, envelopes)
            return wanted
        raise UserError(f"the channel {name} was moved by others {_ATTEMPTS} times in a row: try again")

    def _follow(self, name: str, envelopes: Sequence[bytes]) -> None:
        """Let phones read the last of the log's envelopes, unless they read it or a later one already."""
        key, objects = pointer(name), self._store.objects
        for _ in range(_ATTEMPTS):
            try:
                present, etag = objects.get_with_etag(key)
            except NoSuchObject:
                present, etag = b"", None
            if present and present not in envelopes[:-1]:
                self._read(name)  # either the last, or what somebody has added meanwhile
                return
            try:
                objects.put(key, envelopes[-1], only_if_absent=etag is None, only_if_etag=etag)
            except LostRace:
                continue
            return
        raise UserError(f"{key} was written by others {_ATTEMPTS} times in a row: do the same again")

    def _read(self, name: str) -> tuple[list[State], tuple[bytes, ...]]:
        try:
            log = read_log(name, self._store.bucket, self._store.trusted(), seen=self.seen(name))
        except VerificationError as error:
            raise UserError(str(error)) from None
        return [State.of(said) for said in log.entries], log.envelopes


def checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UserError(f"channel {name!r}: 1 to 32 small letters, digits and inner hyphens are wanted")
    return name
