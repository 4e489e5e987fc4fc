"""Executions of a pipeline, here or in AWS: what is known of one and its steps, and the protocol of the nights."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

GOES_ON = ("Executing", "Stopping", "Starting")


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


@dataclass(frozen=True, slots=True)
class Execution:
    """`name` is the one that a night gave it, `note` what people have said of it; `ended` is None while it goes on."""

    arn: str
    name: str
    status: str
    started: datetime
    ended: datetime | None = None
    reason: str = ""
    note: str = ""

    @property
    def id(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def goes_on(self) -> bool:
        return self.status in GOES_ON


@dataclass(frozen=True, slots=True)
class Job:
    """`kind` is ProcessingJob, TrainingJob or TuningJob."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class StepState:
    """`source` is the execution that it was taken from, if it was; `note` what the step itself has to say.

    `seconds` is how long it took where nobody knows when it started and ended.
    """

    name: str
    status: str
    started: datetime | None = None
    ended: datetime | None = None
    reason: str = ""
    source: str = ""
    note: str = ""
    job: Job | None = None
    seconds: float | None = None

    @property
    def goes_on(self) -> bool:
        return self.status in GOES_ON

    def took(self, now: datetime) -> float | None:
        """Return its seconds until it ended, or until `now`."""
        if self.seconds is not None or self.started is None:
            return self.seconds
        return ((self.ended or now) - self.started).total_seconds()


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
