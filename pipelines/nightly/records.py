"""The records of nights: `nights/<token>/` with `claim.json`, then `started.json`, and at the end `outcome.json`.

A token stands for one attempt at one question, the same for everybody who asks it. Whoever writes the claim first may
start its execution; a claim whose maker was killed is taken over, with the parameters that it names, by whoever holds
the lease. An outcome repeats all that is in the other two, so that the history is read with one request a night.
"""

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from pipelines.definition.step_table import DATA, names
from pipelines.nightly.lease import NightBusyError
from pipelines.runs.executions import Outcome, Status
from pipelines.storage.bulk import at_once
from pipelines.storage.protocol import LostRace, ObjectStore
from steps.core.common.errors import UserError

PREFIX = "nights/"
CLAIM, STARTED, OUTCOME = "claim.json", "started.json", "outcome.json"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Question:
    """What an execution answers: `settings` is the digest of the definition and the parameters that were chosen."""

    dataset_uri: str
    settings: str

    @property
    def digest(self) -> str:
        return _digest(self.dataset_uri, self.settings)

    def token(self, attempt: int) -> str:
        """Return the token of an attempt, 64 hexadecimal digits."""
        return _digest(self.dataset_uri, self.settings, attempt)


@dataclass(frozen=True, slots=True)
class NightRecord:
    """One attempt as its files tell it; an earlier run to those that come after it.

    `batches` are the names of the dataset's, `at` is when it was claimed (ISO 8601, UTC), `holder` whose claim it is.
    Without an execution it is not known to have started; `entered` are the looks that it left in the ledger.
    """

    token: str
    pipeline: str
    question: Question
    attempt: int
    batches: tuple[str, ...]
    parameters: Mapping[str, str]
    reason: str
    at: str
    holder: str = ""
    execution: str = ""
    outcome: Outcome = field(default_factory=lambda: Outcome(Status.ANNOUNCED))
    entered: tuple[str, ...] = ()

    @property
    def display_name(self) -> str:
        return f"night-{self.token[:16]}"

    @property
    def id(self) -> str:
        return self.execution

    @property
    def has_validated(self) -> bool:
        outcome = self.outcome
        return outcome.status.is_answer or outcome.failed_step not in ("", *names(DATA))

    def looks(self) -> Collection[str]:
        return self.entered

    def tuning_job(self) -> str | None:
        return self.outcome.tuning_job or None

    def to_bytes(self) -> bytes:
        return _bytes(asdict(self))

    @classmethod
    def parse(cls, data: bytes, uri: str) -> Self:
        """Read what `to_bytes` wrote; raises UserError that names the file."""
        fields = _parsed(data, uri)
        try:
            outcome = fields["outcome"]
            fields["question"] = Question(**fields["question"])
            fields["outcome"] = Outcome(**outcome | {"status": Status(outcome["status"])})
            fields |= {name: tuple(fields[name]) for name in ("batches", "entered")}
            return cls(**fields)
        except (ValueError, TypeError, KeyError) as error:
            raise _no_record(uri, repr(error)) from None


class Records:
    """The records of all nights, in the artefact bucket."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def all(self) -> list[NightRecord]:
        """Return every attempt, the oldest first; raises UserError that names a file which is no record."""
        files: dict[str, set[str]] = {}
        for info in self._objects.list(PREFIX):
            token, _, name = info.key.removeprefix(PREFIX).partition("/")
            if name:
                files.setdefault(token, set()).add(name)
        whole = ((token, names) for token, names in files.items() if {CLAIM, OUTCOME} & names)
        found = at_once(lambda night: self._read(*night), whole)
        return sorted(found, key=lambda record: (record.at, record.attempt, record.token))

    def claim(self, record: NightRecord) -> NightRecord:
        """Announce an attempt, or take over what somebody announced and did not start, with the parameters it has.

        The caller holds the lease. Raises NightBusyError if somebody else does the same at this moment.
        """
        key, mine = _key(record.token, CLAIM), replace(record, holder=secrets.token_hex(8))
        try:
            self._objects.put(key, mine.to_bytes(), only_if_absent=True)
        except LostRace:
            data, etag = self._objects.get_with_etag(key)
            found = NightRecord.parse(data, self._objects.uri(key))
            # Claims on one machine once named only what was chosen.
            mine = replace(found, holder=mine.holder, parameters={**record.parameters, **found.parameters})
            try:
                self._objects.put(key, mine.to_bytes(), only_if_etag=etag)
            except LostRace:
                raise NightBusyError("another starter has taken over the same execution") from None
        return mine

    def check_held(self, record: NightRecord) -> None:
        """Raise NightBusyError if the claim has been taken over: whoever was too slow must not start anything."""
        if self._record(_key(record.token, CLAIM)).holder != record.holder:
            raise NightBusyError("another starter has taken over this execution meanwhile")

    def execution_of(self, record: NightRecord) -> str | None:
        """Return which execution an attempt is noted to have become, None if there is no note."""
        key = _key(record.token, STARTED)
        if self._objects.info(key) is None:
            return None
        return str(_parsed(self._objects.get(key), self._objects.uri(key))["execution"])

    def started(self, record: NightRecord, execution: str) -> NightRecord:
        """Note which execution an attempt has become; the first note stays."""
        with suppress(LostRace):
            self._objects.put(_key(record.token, STARTED), _bytes({"execution": execution}), only_if_absent=True)
        return replace(record, execution=execution, outcome=Outcome(Status.EXECUTING))

    def ended(self, record: NightRecord, entered: Sequence[str]) -> NightRecord:
        """Note how an attempt has ended and which looks it left; the first note stays."""
        ended = replace(record, entered=tuple(entered))
        with suppress(LostRace):
            self._objects.put(_key(record.token, OUTCOME), ended.to_bytes(), only_if_absent=True)
        return ended

    def _read(self, token: str, names: Collection[str]) -> NightRecord:
        record = self._record(_key(token, OUTCOME if OUTCOME in names else CLAIM))
        if OUTCOME in names or STARTED not in names:
            return record
        return replace(record, execution=self.execution_of(record) or "", outcome=Outcome(Status.EXECUTING))

    def _record(self, key: str) -> NightRecord:
        return NightRecord.parse(self._objects.get(key), self._objects.uri(key))


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _key(token: str, name: str) -> str:
    return f"{PREFIX}{token}/{name}"


def _bytes(value: Mapping[str, Any]) -> bytes:
    return (json.dumps({"version": _VERSION, **value}, indent=1, ensure_ascii=False) + "\n").encode()


def _parsed(data: bytes, uri: str) -> dict[str, Any]:
    try:
        value = dict(json.loads(data))
        version = value.pop("version")
    except (ValueError, TypeError, KeyError) as error:
        raise _no_record(uri, repr(error)) from None
    if version != _VERSION:
        raise _no_record(uri, f"version {version!r} instead of {_VERSION}")
    return value


def _no_record(uri: str, fault: str) -> UserError:
    return UserError(f"{uri} is no record of a night ({fault}): restore it, or remove its folder")
