"""A version as SageMaker's model package describes it, and what is written into the package for it."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from pipelines.registry.decision_log import Entry
from pipelines.registry.protocol import PENDING, ModelVersion
from pipelines.registry.requests import ARCHIVE_SHA256, execution_of, metadata_of

# The number of the decision that the package shows, written together with its status.
SHOWN = "tilegate_decision"
_DESCRIPTION_CHARACTERS = 1024


def is_ours(package: Mapping[str, Any]) -> bool:
    """Tell whether the package says which bytes it means; one made by hand does not, and is left out."""
    return bool(properties(package).get(ARCHIVE_SHA256))


def properties(package: Mapping[str, Any]) -> dict[str, str]:
    return dict(package.get("CustomerMetadataProperties") or {})


def shown(package: Mapping[str, Any]) -> int:
    """Return the number of the decision that the package shows, 0 for none."""
    number = properties(package).get(SHOWN, "0")
    return int(number) if number.isdecimal() else 0


def model_data_url(package: Mapping[str, Any]) -> str:
    containers = (package.get("InferenceSpecification") or {}).get("Containers") or [{}]
    return str(containers[0].get("ModelDataUrl") or "")


def version_of(package: Mapping[str, Any], history: Sequence[Entry], *, champion: int | None) -> ModelVersion:
    """Return the version of a package, given the log's entries about it."""
    number = int(package["ModelPackageVersion"])
    metadata = metadata_of(package)
    metadata.pop(SHOWN, None)
    last = history[-1] if history else None
    return ModelVersion(
        group=package["ModelPackageGroupName"],
        version=number,
        status=last.decision.status if last else PENDING,
        created=package["CreationTime"].astimezone(UTC).isoformat(timespec="milliseconds"),
        execution_id=execution_of(package),
        # What was decided on stays what it was, whatever the package's properties say by now.
        sha256=last.decision.sha256 if last else properties(package)[ARCHIVE_SHA256],
        metadata=metadata,
        description=package.get("ModelPackageDescription", ""),
        decisions=tuple(entry.decision for entry in history),
        artifact_uri=model_data_url(package),
        is_champion=number == champion,
        outside=_outside(package, last),
    )


def _outside(package: Mapping[str, Any], last: Entry | None) -> str:
    """Return the package's status if it is neither the log's nor one that the log has only not reached yet."""
    status = str(package.get("ModelApprovalStatus") or PENDING)
    if last is None:
        return status if status != PENDING else ""
    return status if shown(package) >= last.number and status != last.decision.status else ""


def update_for(package: Mapping[str, Any], last: Entry) -> dict[str, Any]:
    """Return the UpdateModelPackage request by which a package shows a decision; status and number go together."""
    decision = last.decision
    text = " ".join(f"{decision.by}: {decision.reason}".split())
    return {
        "ModelPackageArn": package["ModelPackageArn"],
        "ModelApprovalStatus": decision.status,
        "ApprovalDescription": text[:_DESCRIPTION_CHARACTERS],
        "CustomerMetadataProperties": properties(package) | {SHOWN: str(last.number)},
    }
