"""The results of a run: what a step leaves, how it ended, and how the execution ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class StoredOutput:
    """Something a step left in the store, with the digest of its content at that time.

    `keys` are the objects that are the step's own where it shares a prefix with others; None says that all are.
    """

    uri: str
    digest: str
    keys: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step leaves: its properties, its objects, and what else its own type needs to take it over."""

    properties: Mapping[str, Any]
    outputs: Mapping[str, StoredOutput]
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepResult:
    """`status` is Succeeded, Failed, Stopped or Skipped; `reason` why it ran, was reused, failed or was skipped."""

    status: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    reused: bool = False
    reason: str | None = None
    outputs: Mapping[str, StoredOutput] = field(default_factory=dict)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "StepResult":
        known = {item.name: document[item.name] for item in fields(cls)}
        return cls(**{**known, "outputs": outputs_from_json(document["outputs"])})


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """How an execution ended. `exit_code` is that of the job that failed, None if no job did."""

    execution_id: str
    status: str
    failed_step: str | None
    reason: str | None
    exit_code: int | None
    steps: Mapping[str, StepResult]
    run_dir: Path
    seconds: float


def outputs_from_json(document: Mapping[str, Any]) -> dict[str, StoredOutput]:
    return {name: StoredOutput(**output) for name, output in document.items()}
