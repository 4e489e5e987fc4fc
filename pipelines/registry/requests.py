"""The version that a CreateModelPackage request asks for."""

import re
from collections.abc import Mapping
from typing import Any

from pipelines.registry.protocol import PENDING, RegistryError

# The archive's sha256 as the conversion wrote it, which comes with the request where no executor has the file.
ARCHIVE_SHA256 = "archive_sha256"
_GROUP = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")


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


def check_archive(arguments: Mapping[str, Any], sha256: str) -> None:
    """Refuse another archive than the one that the request means, if it says which."""
    meant = (arguments.get("CustomerMetadataProperties") or {}).get(ARCHIVE_SHA256, sha256)
    if meant != sha256:
        raise RegistryError(
            f"the archive's sha256 is {sha256}, but {meant} was converted and judged: it was changed on its way; "
            "convert the model again"
        )


def metadata_of(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return what the request says about the version, without what a version has a field of its own for."""
    given = arguments.get("CustomerMetadataProperties") or {}
    return {str(key): str(value) for key, value in given.items() if key != ARCHIVE_SHA256}


def execution_of(arguments: Mapping[str, Any]) -> str:
    """Return the id of the execution that registers; empty if the request does not tell.

    SageMaker puts it (as an ARN) into MetadataProperties.GeneratedBy, our definition into CustomerMetadataProperties.
    """
    generated_by = str((arguments.get("MetadataProperties") or {}).get("GeneratedBy") or "")
    return (generated_by or metadata_of(arguments).get("execution", "")).rpartition("/")[2]
