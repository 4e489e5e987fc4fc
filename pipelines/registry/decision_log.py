"""The decisions of a group as objects of a bucket: appended in one order, never replaced.

`registry/<group>/decisions/<8-digit number>.json`, numbered from 1 without a gap; each is written only if there is no
such object. So two people who decide at once get one order, and who comes second decides on what the first has made.
"""

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.registry.decisions import Histories
from pipelines.registry.protocol import APPROVED, REJECTED, Decision, RegistryError
from pipelines.storage.protocol import ObjectStore

if TYPE_CHECKING:
    from pipelines.storage.protocol import ObjectInfo

FORMAT = 1
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """The `number`th decision of a group, on `version`."""

    number: int
    version: int
    decision: Decision


class DecisionLog:
    """Remembers what it has read: an entry never changes."""

    def __init__(self, objects: ObjectStore, group: str) -> None:
        self._objects = objects
        self._group = group
        self._prefix = f"registry/{group}/decisions/"
        self._known: dict[ObjectInfo, Entry] = {}

    def read(self) -> list[Entry]:
        """Return all entries, the oldest first; raises RegistryError if one is missing or damaged."""
        objects = list(self._objects.list(self._prefix))
        keys = [info.key for info in objects]
        wanted = [self._key(number) for number in range(1, len(keys) + 1)]
        if keys != wanted:
            odd = next(pair for pair in zip(keys, wanted, strict=True) if pair[0] != pair[1])
            raise RegistryError(
                f"{self._objects.uri(odd[1])} is missing ({odd[0]} comes in its place): without it nobody knows what "
                "was decided; restore it from the bucket's versions"
            )
        new = [(number, info) for number, info in enumerate(objects, 1) if info not in self._known]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            entries = pool.map(lambda item: self._entry(item[0], item[1].key), new)
            self._known.update(zip((info for _, info in new), entries, strict=True))
        return [self._known[info] for info in objects]

    def append(self, number: int, version: int, decision: Decision) -> Entry:
        """Write the `number`th entry; raises LostRace if somebody else has."""
        document = {"format": FORMAT, "group": self._group, "version": version, **asdict(decision)}
        text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        self._objects.put(self._key(number), text.encode(), only_if_absent=True)
        return Entry(number, version, decision)

    def _key(self, number: int) -> str:
        return f"{self._prefix}{number:08d}.json"

    def _entry(self, number: int, key: str) -> Entry:
        data = self._objects.get(key)
        try:
            return _parsed(number, self._group, json.loads(data))
        except (ValueError, TypeError, KeyError) as error:
            raise RegistryError(
                f"{self._objects.uri(key)} is no decision on {self._group} ({error}): restore it from the bucket's "
                "versions"
            ) from None


def histories_of(entries: list[Entry]) -> Histories:
    """Return the decisions by version, each version's oldest first."""
    found: dict[int, list[Decision]] = defaultdict(list)
    for entry in entries:
        found[entry.version].append(entry.decision)
    return dict(found)


def _parsed(number: int, group: str, document: Any) -> Entry:
    fields = dict(document)
    if fields.pop("format") != FORMAT or fields.pop("group") != group:
        raise ValueError("another format or group")
    version = fields.pop("version")
    if not isinstance(version, int) or not all(isinstance(value, str) for value in fields.values()):
        raise TypeError("a field of another type")
    decision = Decision(**fields)
    if decision.status not in (APPROVED, REJECTED):
        raise ValueError(f"status {decision.status!r}")
    if not decision.sha256:
        raise ValueError("it names no sha256")
    datetime.fromisoformat(decision.at)
    return Entry(number, version, decision)
