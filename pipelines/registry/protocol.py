"""What a model registry is, whatever stands behind it: versions that wait for a person, and a history of decisions."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

PENDING, APPROVED, REJECTED = "PendingManualApproval", "Approved", "Rejected"
_GROUP = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_EXECUTION_KEYS = frozenset({"execution", "executionid", "pipelineexecution", "pipelineexecutionid"})


class RegistryError(Exception):
    """The registry cannot do what was asked; one clear sentence for a user."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decided what, why and when (ISO 8601, UTC); `note` is what the registry adds about the champion."""

    status: str
    by: str
    reason: str
    at: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version. `sha256` is that of its artefact (model.tar.gz), `decisions` the whole history, oldest first.

    The champion is the version that was approved last in its group and not rejected since.
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
        """Approve a version and make it the champion; approving a former champion again is how one rolls back."""

    def reject(self, group: str, version: int, *, by: str, reason: str) -> ModelVersion:
        """Reject a version that is pending or approved; a rejected champion leaves its group without one."""

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


def group_of(arguments: Mapping[str, Any]) -> str:
    """Return the request's group, checked by SageMaker's rule, so that every registry accepts the same names."""
    return checked_group(str(arguments.get("ModelPackageGroupName") or ""))


def checked_group(group: str) -> str:
    if not _GROUP.fullmatch(group):
        raise RegistryError(f"ModelPackageGroupName is {group!r}: it must be 1 to 63 letters, digits and inner hyphens")
    return group


def check_pending(arguments: Mapping[str, Any]) -> None:
    """Refuse a request that approves itself: a decision has a name and a reason, and a request has neither."""
    status = arguments.get("ModelApprovalStatus", PENDING)
    if status != PENDING:
        raise RegistryError(
            f"ModelApprovalStatus is {status!r}: a version is registered as {PENDING} and then approved or rejected "
            "by a person with a reason; leave it at that"
        )


def metadata_of(arguments: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in (arguments.get("CustomerMetadataProperties") or {}).items()}


def execution_of(arguments: Mapping[str, Any]) -> str:
    """Return the id of the execution that registers; empty if the request does not tell.

    SageMaker puts it (as an ARN) into MetadataProperties.GeneratedBy; a definition puts it into
    CustomerMetadataProperties, under `execution_id`, `pipeline-execution` or another spelling of those.
    """
    generated_by = str((arguments.get("MetadataProperties") or {}).get("GeneratedBy") or "")
    if generated_by:
        return generated_by.rpartition("/")[2]
    for key, value in metadata_of(arguments).items():
        if re.sub(r"[^a-z]", "", key.lower()) in _EXECUTION_KEYS:
            return value.rpartition("/")[2]
    return ""


def metric_uris(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return the S3 URIs of ModelMetrics by their path: `ModelQuality.Statistics` -> URI."""
    found: dict[str, str] = {}
    for area, sources in (arguments.get("ModelMetrics") or {}).items():
        for name, source in (sources or {}).items():
            uri = (source or {}).get("S3Uri")
            if isinstance(uri, str):
                found[f"{area}.{name}"] = uri
    return found


def checked_decision(by: str, reason: str) -> tuple[str, str]:
    """Return name and reason without outer blanks; both must say something."""
    by, reason = by.strip(), reason.strip()
    if not by or not reason:
        missing = "a name" if not by else "a reason"
        raise RegistryError(f"the decision has no {missing[2:]}: give {missing}, it is kept with the version")
    return by, reason


def check_approvable(version: ModelVersion) -> None:
    if version.status == REJECTED:
        last = version.decisions[-1]
        raise RegistryError(
            f"{version.group} version {version.version} was rejected by {last.by} ({last.reason}) and stays so: "
            "register the model again as a new version to have it approved"
        )
    if version.is_champion:
        raise RegistryError(f"{version.group} version {version.version} is approved and the champion already")


def check_rejectable(version: ModelVersion) -> None:
    if version.status == REJECTED:
        last = version.decisions[-1]
        raise RegistryError(
            f"{version.group} version {version.version} was already rejected by {last.by} ({last.reason})"
        )


def champion_of(histories: Mapping[int, Sequence[Decision]]) -> int | None:
    """Replay the decisions of a group, by version, in the order they were made; return the champion they end with."""
    champion: int | None = None
    made = [(decision.at, number, decision.status) for number, history in histories.items() for decision in history]
    for _, number, status in sorted(made):
        if status == APPROVED:
            champion = number
        elif number == champion:
            champion = None  # an older approval does not come back by itself: somebody has to choose it
    return champion
