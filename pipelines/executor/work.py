"""The seam between the executor and the step types whose results can be used again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pipelines.executor.cache import Components, Record
from pipelines.executor.results import StoredOutput


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step leaves: its properties, its objects, and `details` for whoever takes it over from the cache."""

    properties: Mapping[str, Any]
    outputs: Mapping[str, StoredOutput]
    details: Mapping[str, Any] = field(default_factory=dict)


class Work(Protocol):
    """A step with its arguments evaluated."""

    step_type: str
    components: Components

    def run(self, root: Path) -> Outcome:
        """Do it in `root`, from the start; raises StepFailed, RunStopped."""
        ...

    def adopt(self, record: Record) -> Outcome:
        """Return the outcome of an earlier run as that of this one."""
        ...


def as_recorded(record: Record) -> Outcome:
    return Outcome(record.properties, record.outputs, record.details)
