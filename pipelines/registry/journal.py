"""The journal of a home: every version, decision and move of a channel, in an append-only file of its owner alone.

A line of `<home>/registry/journal.jsonl` is a MAC (HMAC-SHA256, hex), a space, and a record in JSON. The MAC is over
the MAC of the line before and the record, by `<home>/keys/journal.key`: nobody without the key can add, change, move or
take out a line. A line without its newline is what a killed writer left, and counts for nothing.
"""

import hmac
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.locks import exclusive
from pipelines.owner_files import check_owner, secret
from pipelines.registry.decisions import champion_of
from pipelines.registry.protocol import PENDING, Decision, ModelVersion, RegistryError
from steps.core.common.errors import UserError
from steps.core.common.files import naming

_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Registration:
    """A version as it was registered; `artifact` is its folder, relative to that of the home's artefacts, or a URI."""

    group: str
    version: int
    created: str
    execution_id: str
    sha256: str
    metadata: Mapping[str, str]
    description: str
    artifact: str


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision on a version."""

    group: str
    version: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class Moved:
    """The highest sequence number that was signed for a channel of releases."""

    channel: str
    sequence: int


Record = Registration | Decided | Moved


class Journal:
    """Reading makes no file. Whoever appends holds the lock. Raises RegistryError for what is not ours."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._path = home / "registry" / "journal.jsonl"
        self._key_path = home / "keys" / "journal.key"

    def locked(self) -> AbstractContextManager[None]:
        """Keep other writers out, across processes; raises TimeoutError if one does not end."""
        return exclusive(self._home.resolve() / "registry.lock")

    def read(self) -> list[Record]:
        """Return all records, the oldest first."""
        return [_record(json.loads(body)) for _, body in self._lines()]

    def append(self, record: Record) -> None:
        """Write a record behind the last whole line, and have the disk keep it."""
        before = ([b"", *(mac for mac, _ in self._lines())])[-1]
        body = json.dumps({type(record).__name__: asdict(record)}, sort_keys=True).encode()
        line = _mac(self._key(), before, body) + b" " + body + b"\n"
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with naming(self._path), os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as stream:
            stream.truncate(stream.read().rfind(b"\n") + 1)
            stream.seek(0, os.SEEK_END)
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())

    def seen(self, channel: str) -> int:
        """Return the highest sequence number that was signed here for a channel of releases, 0 for none."""
        moves = (record for record in self.read() if isinstance(record, Moved) and record.channel == channel)
        return max((move.sequence for move in moves), default=0)

    def remember(self, channel: str, sequence: int) -> None:
        with self.locked():
            if sequence > self.seen(channel):
                self.append(Moved(channel, sequence))

    def _lines(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the MAC and the record's JSON of each whole line."""
        if not self._path.exists():
            return
        key, before = self._key(), b""
        for number, line in enumerate(self._bytes().split(b"\n")[:-1], 1):
            mac, _, body = line.partition(b" ")
            if not hmac.compare_digest(mac, _mac(key, before, body)):
                raise RegistryError(
                    f"line {number} of {self._path} was not written there by tilegate on this machine: somebody has "
                    "changed the file; restore it, nothing is decided or released until then"
                )
            yield mac, body
            before = mac

    def _bytes(self) -> bytes:
        try:
            check_owner(self._path)
        except UserError as error:
            raise RegistryError(str(error)) from None
        return self._path.read_bytes()

    def _key(self) -> bytes:
        if self._path.exists() and not self._key_path.exists():
            raise RegistryError(f"{self._key_path} is missing, by which {self._path} is verified: restore it")
        try:
            return secret(self._key_path, lambda: secrets.token_bytes(_KEY_BYTES))
        except UserError as error:
            raise RegistryError(str(error)) from None


def _mac(key: bytes, before: bytes, body: bytes) -> bytes:
    return hmac.digest(key, before + b" " + body, "sha256").hex().encode()


def _record(document: Mapping[str, Any]) -> Record:
    ((kind, fields),) = document.items()
    if kind == Registration.__name__:
        return Registration(**fields)
    if kind == Moved.__name__:
        return Moved(**fields)
    return Decided(fields["group"], fields["version"], Decision(**fields["decision"]))


def versions_of(group: str, records: Iterable[Record], artifacts: str) -> list[ModelVersion]:
    """Return a group's versions, oldest first; `artifacts` is the URI of the folder of the home's artefacts."""
    registered: dict[int, Registration] = {}
    histories: dict[int, tuple[Decision, ...]] = {}
    for record in records:
        if isinstance(record, Moved) or record.group != group:
            continue
        if isinstance(record, Registration):
            registered[record.version] = record
        elif record.decision.sha256 == registered[record.version].sha256:
            histories[record.version] = (*histories.get(record.version, ()), record.decision)
    champion = champion_of(histories)
    return [
        _version(one, histories.get(one.version, ()), artifacts, is_champion=one.version == champion)
        for _, one in sorted(registered.items())
    ]


def _version(
    registered: Registration, history: tuple[Decision, ...], artifacts: str, *, is_champion: bool
) -> ModelVersion:
    inside = ":/" not in registered.artifact
    return ModelVersion(
        group=registered.group,
        version=registered.version,
        status=history[-1].status if history else PENDING,
        created=registered.created,
        execution_id=registered.execution_id,
        sha256=registered.sha256,
        metadata=registered.metadata,
        description=registered.description,
        decisions=history,
        artifact_uri=f"{artifacts}/{registered.artifact}" if inside else registered.artifact,
        is_champion=is_champion,
    )
