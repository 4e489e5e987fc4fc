"""Earlier results, found again by the content of what a step reads, and the reason why one is not found."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.executor.files import read_json, write_json
from pipelines.executor.results import StoredOutput, outputs_as_json, outputs_from_json
from pipelines.executor.store import LocalStore

NO_EARLIER_RUN = "no earlier run"
_MOST_DIFFERENCES = 3
_LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True)
class Components:
    """All that a step's result can depend on. Inputs are (digest, LocalPath) by name; outputs LocalPaths by name.

    Neither URIs nor resources are in it, nor the environment of the image (the digest identifies what is inside).
    """

    step_type: str
    image: str
    command: Sequence[str]
    environment: Mapping[str, str]
    inputs: Mapping[str, tuple[str, str]]
    outputs: Mapping[str, str]
    hyperparameters: Mapping[str, str]
    settings: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {
            "type": self.step_type,
            "image": self.image,
            "command": list(self.command),
            "environment": dict(self.environment),
            "inputs": {name: list(value) for name, value in self.inputs.items()},
            "outputs": dict(self.outputs),
            "hyperparameters": dict(self.hyperparameters),
            "settings": dict(self.settings),
        }

    @property
    def key(self) -> str:
        canonical = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Record:
    """One result that may be used again. `details` is what else the step type needs to take it over."""

    execution_id: str
    created: float
    seconds: float
    components: Mapping[str, Any]
    properties: Mapping[str, Any]
    outputs: Mapping[str, StoredOutput]
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lookup:
    """`record` if there is one to use, else `reason` says why not."""

    record: Record | None
    reason: str


class Cache:
    """The records of one step (or of the trials of one) in a folder, a file each, named by the key."""

    def __init__(self, folder: Path, store: LocalStore) -> None:
        self._folder = folder
        self._store = store

    def find(self, components: Components, expire_seconds: float | None) -> Lookup:
        """Look for a usable record: not expired, and every output still in the store with its recorded digest."""
        record = _read(self._folder / f"{components.key}.json")
        if record is None:
            newest = max(self._records(), key=lambda earlier: earlier.created, default=None)
            reason = "; ".join(_differences(newest.components, components.as_json())) if newest else NO_EARLIER_RUN
            return Lookup(None, reason)
        if expire_seconds is not None and time.time() - record.created > expire_seconds:
            return Lookup(None, f"the earlier result of {record.execution_id} has expired (CacheConfig.ExpireAfter)")
        for name, output in record.outputs.items():
            if self._store.digest_or_empty(output.uri, output.keys) != output.digest:
                return Lookup(None, f"its output {name!r} is missing or changed")
        return Lookup(record, "same code, inputs and arguments")

    def add(self, components: Components, record: Record) -> None:
        document = {
            "execution_id": record.execution_id,
            "created": record.created,
            "seconds": record.seconds,
            "components": components.as_json(),
            "properties": record.properties,
            "outputs": outputs_as_json(record.outputs),
            "details": record.details,
        }
        write_json(self._folder / f"{components.key}.json", document)

    def _records(self) -> Iterator[Record]:
        for path in self._folder.glob("*.json"):
            record = _read(path)
            if record is not None:
                yield record


def _read(path: Path) -> Record | None:
    document = read_json(path)
    if document is None:
        return None
    return Record(**{**document, "outputs": outputs_from_json(document["outputs"])})


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Name what differs between two components, the most telling first, at most three."""
    found = list(_changes(old, new)) or ["the request changed"]
    more = len(found) - _MOST_DIFFERENCES
    return found[:_MOST_DIFFERENCES] + ([f"and {more} more"] if more > 0 else [])


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if old["image"] != new["image"]:
        yield "code of the image changed"
    for name, before, after in _differing(old["inputs"], new["inputs"]):
        if before is None or after is None:
            yield f"input {name!r} is {'new' if before is None else 'gone'}"
        elif before[0] != after[0]:
            yield f"input {name!r} changed"
        else:
            yield f"input {name!r} moved: {before[1]} -> {after[1]}"
    old_arguments, new_arguments = _named_arguments(old["command"]), _named_arguments(new["command"])
    for name, before, after in _differing(old_arguments, new_arguments):
        yield f"argument {name}: {_short(before)} -> {_short(after)}"
    if old["command"] != new["command"] and old_arguments == new_arguments:
        yield "the order of the arguments changed"
    for part, what in (("hyperparameters", "hyperparameter"), ("environment", "environment"), ("settings", "setting")):
        for name, before, after in _differing(old[part], new[part]):
            yield f"{what} {name}: {_short(before)} -> {_short(after)}"
    for name, before, after in _differing(old["outputs"], new["outputs"]):
        yield f"output {name!r}: {_short(before)} -> {_short(after)}"


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)


def _named_arguments(command: Sequence[str]) -> dict[str, str]:
    """Read a command as options with their values, and the rest by position."""
    named: dict[str, str] = {}
    option = None
    for position, word in enumerate(command):
        if word.startswith("--"):
            option, _, value = word.partition("=")
            named[option] = value
        elif option is not None:
            named[option] = f"{named[option]} {word}".strip()
        else:
            named[str(position)] = word
    return named


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
