"""A channel: the signed pointer that phones follow, and the log of all it was ever told to say.

Every state of a channel is first written as `channels/<name>/history/<sequence>.json`, only if there is none of that
number: so one of two writers wins, and the log alone says what was decided. `channels/<name>.json`, which phones read,
is the same bytes as the log's last entry; it follows in one conditional write and never goes back. Where a writer was
killed between the two, the next one lets it follow.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines.release.signers import sealed
from pipelines.release.store import Release, ReleaseStore
from pipelines.release.verify import CHANNEL_TYPE, FORMAT, VerificationError, opened
from pipelines.storage.protocol import LostRace, NoSuchObject
from steps.core.common.errors import UserError

CHANNELS = "channels"
WHOLE = 100
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class State:
    """What a channel says: `percent` of the installations run `release`, the others `otherwise` (None: no model).

    `approved` is the moment of the approval that a publication follows, so that its event moves a channel once.
    """

    channel: str
    sequence: int
    moment: str
    release: Release
    percent: int
    otherwise: Release | None
    by: str
    reason: str
    approved: str = ""

    def payload(self, previous_sha256: str) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "channel": self.channel,
            "sequence": self.sequence,
            "moment": self.moment,
            "release": self.release.to_dict(),
            "rollout": {
                "percent": self.percent,
                "salt": f"{self.channel}/{self.release.version}",
                "otherwise": self.otherwise.to_dict() if self.otherwise else None,
            },
            "by": self.by,
            "reason": self.reason,
            "approved": self.approved,
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
        )

    def __str__(self) -> str:
        others = f"version {self.otherwise.version}" if self.otherwise else "no model"
        share = "to all" if self.percent == WHOLE else f"to {self.percent} %, {others} to the others"
        return f"{self.channel} {self.sequence}: version {self.release.version} {share}"


# Given the present state (None for a new channel), returns what to change it to, or None to leave it.
Change = Callable[[State | None], State | None]


class Channels:
    """The channels of a release bucket; `clock` gives the present moment."""

    def __init__(self, store: ReleaseStore, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store, self._objects, self._clock = store, store.objects, clock

    def names(self) -> list[str]:
        found = (info.key.removeprefix(f"{CHANNELS}/") for info in self._objects.list(f"{CHANNELS}/"))
        return sorted(name.removesuffix(".json") for name in found if "/" not in name and name.endswith(".json"))

    def state(self, name: str) -> State | None:
        """Return what phones read, None if there is no such channel; raises UserError if it is not what was signed."""
        shown = self._shown(checked_name(name))
        return shown[0] if shown else None

    def latest(self, name: str) -> State | None:
        """Return what was decided last, which phones read as soon as the pointer has followed."""
        return self._last(checked_name(name))[0]

    def history(self, name: str) -> Iterator[State]:
        """Yield what a channel was told to say, the oldest first; raises UserError for what is not what was signed."""
        before = ""
        for number, key in enumerate(self._entries(checked_name(name)), 1):
            data = self._objects.get(key)
            yield self._entry(data, key, number, before)
            before = hashlib.sha256(data).hexdigest()

    def move(self, name: str, change: Change) -> State:
        """Change a channel and return what it says then; the same as before if `change` returns None.

        Where somebody else was faster the change is worked out again on what they have made of the channel.
        """
        checked_name(name)
        for _ in range(_ATTEMPTS):
            state, data = self._last(name)
            wanted = change(state)
            if wanted is None:
                if state is None:
                    raise UserError(f"there is no channel {name}: publish a version to it first")
                self._follow(state, data)
                return state
            payload = wanted.payload(hashlib.sha256(data).hexdigest() if data else "")
            envelope = sealed(payload, CHANNEL_TYPE, self._store.signer)
            try:
                self._objects.put(_key(name, wanted.sequence), envelope, only_if_absent=True)
            except LostRace:
                continue
            self._follow(wanted, envelope)
            return wanted
        raise UserError(f"the channel {name} was moved by others {_ATTEMPTS} times in a row: try again")

    def next(self, state: State | None) -> tuple[int, str]:
        """Return the sequence number and the moment (ISO 8601, UTC) of the state that comes after `state`."""
        return (state.sequence if state else 0) + 1, self._clock().isoformat(timespec="seconds")

    def _follow(self, state: State, envelope: bytes) -> None:
        """Let phones read an entry of the log, unless they read it or a later one already."""
        key = _pointer(state.channel)
        for _ in range(_ATTEMPTS):
            shown = self._shown(state.channel)
            if shown and shown[0].sequence >= state.sequence:
                return
            try:
                if shown:
                    self._objects.put(key, envelope, only_if_etag=shown[1])
                else:
                    self._objects.put(key, envelope, only_if_absent=True)
            except LostRace:
                continue
            return
        raise UserError(f"{key} was written by others {_ATTEMPTS} times in a row: do the same again")

    def _last(self, name: str) -> tuple[State | None, bytes]:
        """Return the log's last entry and its bytes. Raises UserError if phones read what the log does not know."""
        shown = self._shown(name)
        keys = self._entries(name)
        if shown and shown[0].sequence > len(keys):
            raise UserError(
                f"{_pointer(name)} has sequence {shown[0].sequence}, and {_key(name, shown[0].sequence)} is missing: "
                "restore it, the history of a channel is never removed"
            )
        if not keys:
            return None, b""
        data = self._objects.get(keys[-1])
        return self._entry(data, keys[-1], len(keys)), data

    def _entries(self, name: str) -> list[str]:
        keys = [info.key for info in self._objects.list(f"{CHANNELS}/{name}/history/")]
        for number, key in enumerate(keys, 1):
            if key != _key(name, number):
                raise UserError(f"{_key(name, number)} is missing ({key} comes in its place): restore it")
        return keys

    def _shown(self, name: str) -> tuple[State, str] | None:
        key = _pointer(name)
        try:
            data, etag = self._objects.get_with_etag(key)
        except NoSuchObject:
            return None
        return State.of(self._opened(data, key, name)), etag

    def _entry(self, data: bytes, key: str, number: int, before: str | None = None) -> State:
        payload = self._opened(data, key, key.split("/")[1])
        if payload["sequence"] != number or before not in (None, payload["previous_sha256"]):
            raise UserError(f"{key} was not signed to stand there: restore the object's former version")
        return State.of(payload)

    def _opened(self, data: bytes, key: str, name: str) -> Mapping[str, Any]:
        try:
            payload = opened(data, CHANNEL_TYPE, self._store.trusted(), key)
        except VerificationError as error:
            raise UserError(f"{error}; restore the object's former version") from None
        if payload["channel"] != name:
            raise UserError(f"{key} was signed for channel {payload['channel']}: restore the object's former version")
        return payload


def checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UserError(f"channel {name!r}: 1 to 32 small letters, digits and inner hyphens are wanted")
    return name


def _pointer(name: str) -> str:
    return f"{CHANNELS}/{name}.json"


def _key(name: str, sequence: int) -> str:
    return f"{CHANNELS}/{name}/history/{sequence:08d}.json"
