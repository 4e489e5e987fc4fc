"""The model registry: versions that wait for a person, and a history of decisions."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from steps.core.common.errors import UserError

PENDING, APPROVED, REJECTED = "PendingManualApproval", "Approved", "Rejected"


class RegistryError(UserError):
    """The registry cannot do what was asked; one clear sentence for a user."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decided what, why and when (ISO 8601, UTC); `note` is what the registry adds about the champion.

    `sha256` is that of the artefact that was decided on, `identity` who the service says was asking (an ARN), "" where
    nobody asks.
    """

    status: str
    by: str
    reason: str
    at: str
    note: str = ""
    sha256: str = ""
    identity: str = ""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version. `sha256` is that of its artefact (model.tar.gz), `decisions` the whole history, oldest first.

    The champion is the version that was approved last in its group and not rejected since. `outside` is the status
    that somebody has set past the registry (in a console), without a name and a reason; it decides nothing.
    """

    group: str
    version: int
    status: str
    created: str
    execution_id: str
    sha256: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    decisions: tuple[Decision, ...] = ()
    artifact_uri: str = ""
    is_champion: bool = False
    outside: str = ""

    @property
    def approval(self) -> Decision | None:
        """The decision by which this version may be released: the last, on these very bytes, and none set outside."""
        last = self.decisions[-1] if self.decisions and not self.outside else None
        return last if last and (last.status, last.sha256) == (APPROVED, self.sha256) else None


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asks for: a status for a version; without a version, the champion before to be one again.

    Raises RegistryError if name or reason say nothing.
    """

    status: str
    by: str
    reason: str
    version: int | None = None
    is_rollback: bool = False

    def __post_init__(self) -> None:
        for what, said in (("name", self.by), ("reason", self.reason)):
            if not said.strip():
                raise RegistryError(f"the decision has no {what}: give a {what}, it is kept with the version")


class ModelRegistry(ABC):
    """Every method raises RegistryError for what a user can understand and mend."""

    @abstractmethod
    def versions(self, group: str) -> list[ModelVersion]:
        """Return the versions of a group, oldest first; none if there is no such group."""

    @abstractmethod
    def get(self, group: str, version: int) -> ModelVersion: ...

    @abstractmethod
    def load_champion(self, group: str) -> ModelVersion | None: ...

    @abstractmethod
    def download(self, version: ModelVersion, dest: Path) -> Path:
        """Copy the artefact into the folder `dest` and return the file; refused if its sha256 is not as registered."""

    @abstractmethod
    def _decide(self, group: str, wish: Wish) -> ModelVersion:
        """Decide by the rules of `pipelines.registry.decisions`, against whoever decides at the same time."""

    def approve(self, group: str, version: int, *, by: str, reason: str) -> ModelVersion:
        """Approve a version and make it the champion."""
        return self._decide(group, Wish(APPROVED, by, reason, version))

    def reject(self, group: str, version: int, *, by: str, reason: str) -> ModelVersion:
        """Reject a version that is pending or approved; a rejected champion leaves its group without one."""
        return self._decide(group, Wish(REJECTED, by, reason, version))

    def rollback(self, group: str, *, by: str, reason: str, to: int | None = None) -> ModelVersion:
        """Approve an earlier champion again: `to`, or the one before the present champion (or before its rejection).

        Rolling back twice goes back by two: what was rolled back from comes back only if somebody approves it.
        """
        return self._decide(group, Wish(APPROVED, by, reason, to, is_rollback=True))
