"""Earlier results, found again by the content of what a step reads, and the reason why one is not found."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.executor.files import read_json, write_json
from pipelines.executor.job import Job
from pipelines.executor.results import Outcome, outputs_from_json
from pipelines.executor.store import LocalStore

NO_EARLIER_RUN = "no earlier run"
_MOST_DIFFERENCES = 3
_LONGEST_VALUE = 60
_PARTS = {
    "command": "argument",
    "hyperparameters": "hyperparameter",
    "environment": "environment",
    "settings": "setting",
    "outputs": "output",
}
Components = Mapping[str, Any]
"""All that a step's result can depend on, as JSON."""


def components_of(
    job: Job,
    store: LocalStore,
    *,
    step_type: str,
    outputs: Mapping[str, str],
    hyperparameters: Mapping[str, str],
    settings: Mapping[str, Any],
) -> Components:
    """Return what a job's result depends on; raises DefinitionError if an input does not exist.

    Inputs are [digest, LocalPath] by name, outputs LocalPaths by name. Neither URIs nor resources are in it, but for
    the number of hosts: not every program's result is independent of that.
    """
    hosts = {"InstanceCount": str(len(job.hosts))} if len(job.hosts) > 1 else {}
    return {
        "type": step_type,
        "image": job.image.digest,
        "command": list(job.command),
        "environment": dict(job.environment),
        "inputs": {item.name: [store.digest(item.uri, listed=item.listed), item.local_path] for item in job.inputs},
        "outputs": dict(outputs),
        "hyperparameters": dict(hyperparameters),
        "settings": {**hosts, **settings},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Outcome):
    """One outcome that may be used again."""

    execution_id: str
    created: float
    seconds: float
    components: Components


class Cache:
    """The records of one step of a pipeline, a file each, named by the digest of its components.

    Unless it is `shared`, an execution finds its own records only.
    """

    def __init__(
        self, folder: Path, store: LocalStore, execution_id: str, *, shared: bool, expire_seconds: float | None
    ) -> None:
        self._folder = folder
        self._store = store
        self._execution_id = execution_id
        self._shared = shared
        self._expire_seconds = expire_seconds

    def find(self, components: Components) -> tuple[Record | None, str]:
        """Return a usable record, or None, and why: one has not expired, and its outputs are as they were."""
        record = _read(self._path(components))
        if record is None or not (self._shared or record.execution_id == self._execution_id):
            known = [earlier for path in self._folder.glob("*.json") if (earlier := _read(path)) is not None]
            newest = max(known, key=lambda earlier: earlier.created, default=None)
            return None, "; ".join(_differences(newest.components, components)) if newest else NO_EARLIER_RUN
        if self._expire_seconds is not None and time.time() - record.created > self._expire_seconds:
            return None, f"the earlier result of {record.execution_id} has expired (CacheConfig.ExpireAfter)"
        for name, output in record.outputs.items():
            if self._store.digest_or_empty(output.uri, output.keys) != output.digest:
                return None, f"its output {name!r} is missing or changed"
        return record, "same code, inputs and arguments"

    def add(self, components: Components, outcome: Outcome, seconds: float) -> None:
        record = Record(
            execution_id=self._execution_id,
            created=time.time(),
            seconds=seconds,
            components=components,
            properties=outcome.properties,
            outputs=outcome.outputs,
            details=outcome.details,
        )
        write_json(self._path(components), asdict(record))

    def _path(self, components: Components) -> Path:
        canonical = json.dumps(components, sort_keys=True, separators=(",", ":"), default=str)
        return self._folder / f"{hashlib.sha256(canonical.encode()).hexdigest()}.json"


def _read(path: Path) -> Record | None:
    document = read_json(path)
    if document is None:
        return None
    return Record(**{**document, "outputs": outputs_from_json(document["outputs"])})


def _differences(old: Components, new: Components) -> list[str]:
    """Name what differs between two components, the likeliest cause first, at most three."""
    found = list(_changes(old, new)) or ["the request changed"]
    more = len(found) - _MOST_DIFFERENCES
    return found[:_MOST_DIFFERENCES] + ([f"and {more} more"] if more > 0 else [])


def _changes(old: Components, new: Components) -> Iterator[str]:
    if old["image"] != new["image"]:
        yield "code of the image changed"
    for name, before, after in _differing(old["inputs"], new["inputs"]):
        if before is None or after is None:
            yield f"input {name!r} is {'new' if before is None else 'gone'}"
        else:
            yield f"input {name!r} changed" if before[0] != after[0] else f"input {name!r} moved to {after[1]}"
    for part, what in _PARTS.items():
        for name, before, after in _differing(_named(old[part]), _named(new[part])):
            yield f"{what} {name}: {_short(before)} -> {_short(after)}"


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)


def _named(part: Mapping[str, Any] | Sequence[str]) -> Mapping[str, Any]:
    """Return a part of the components by name; a command as its options with their values, and the rest by position."""
    if isinstance(part, Mapping):
        return part
    named: dict[str, str] = {}
    option = None
    for position, word in enumerate(part):
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
