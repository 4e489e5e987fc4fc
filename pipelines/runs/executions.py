"""Executions of a pipeline, wherever they run: how one stands, and the protocol of whoever starts them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Status(StrEnum):
    """How an execution stands; Rejected is one that the gate has failed. Announced: not known to have started."""

    ANNOUNCED = "Announced"
    EXECUTING = "Executing"
    SUCCEEDED = "Succeeded"
    REJECTED = "Rejected"
    FAILED = "Failed"
    STOPPED = "Stopped"

    @property
    def is_answer(self) -> bool:
        return self in (Status.SUCCEEDED, Status.REJECTED)

    @property
    def is_final(self) -> bool:
        return self not in (Status.ANNOUNCED, Status.EXECUTING)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an execution stands. `tuning_job` is the one that succeeded in it, its own or one that it reused."""

    status: Status
    reason: str = ""
    failed_step: str = ""
    tuning_job: str = ""


class Executions(Protocol):
    """The executions of one pipeline."""

    def start(self, display_name: str, token: str, parameters: Mapping[str, str]) -> str:
        """Start an execution and return its id; the same token again starts no second one where that is supported."""

    def find(self, display_name: str) -> str | None:
        """Return the id of the execution of that name, the newest if there are several, None if there is none."""

    def outcome(self, execution: str) -> Outcome:
        """Return how an execution stands."""

    def executing(self) -> str | None:
        """Return the id of any execution that goes on, None if there is none."""
