"""The protocol of every model registry: versions that wait for a person, and a history of decisions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

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


class ModelRegistry(Protocol):
    """Every method raises RegistryError for what a user can understand and mend."""

    def register(self, arguments: Mapping[str, Any], model_data: Path) -> ModelVersion:
        """Add a version from a CreateModelPackage request and its artefact; it waits for approval.

        The same bytes again give the version that exists, whatever was decided on it: nobody is asked twice about one
        bundle, be it a resumed run that registers it or one that reused every step.
        """

    def versions(self, group: str) -> list[ModelVersion]:
        """Return the versions of a group, oldest first; none if there is no such group."""

    def get(self, group: str, version: int) -> ModelVersion: ...

    def approve(self, group: str, version: int, *, by: str, reason: str) -> ModelVersion:
        """Approve a version and make it the champion."""

    def reject(self, group: str, version: int, *, by: str, reason: str) -> ModelVersion:
        """Reject a version that is pending or approved; a rejected champion leaves its group without one."""

    def rollback(self, group: str, *, by: str, reason: str, to: int | None = None) -> ModelVersion:
        """Approve an earlier champion again: `to`, or the one before the present champion (or before its rejection).

        Rolling back twice goes back by two: what was rolled back from comes back only if somebody approves it.
        """

    def load_champion(self, group: str) -> ModelVersion | None: ...

    def download(self, version: ModelVersion, dest: Path) -> Path:
        """Copy the artefact into the folder `dest` and return the file; refused if its sha256 is not as registered."""


def register_callback(registry: ModelRegistry) -> Callable[[Mapping[str, Any], Path], Mapping[str, Any]]:
    """Return RegisterModel's side effect for the local executor: it gives the properties that SageMaker's step has."""

    def register(arguments: Mapping[str, Any], model_data: Path) -> Mapping[str, Any]:
        version = registry.register(arguments, model_data)
        arn = f"arn:aws:sagemaker:local:000000000000:model-package/{version.group}/{version.version}"
        return {
            "ModelPackageArn": arn,
            "ModelPackageGroupName": version.group,
            "ModelPackageVersion": version.version,
            "ModelApprovalStatus": version.status,
        }

    return register
