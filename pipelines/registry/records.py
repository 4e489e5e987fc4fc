"""Versions of a home as its journal tells them, and the MLflow tags that mirror them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from pipelines.registry.decisions import champion_of
from pipelines.registry.journal import Moved, Record, Registration
from pipelines.registry.protocol import PENDING, Decision, ModelVersion

STATUS = "tilegate.status"
EXECUTION_ID = "tilegate.execution_id"
SHA256 = "tilegate.sha256"
METADATA = "tilegate.metadata"
_DECISION = "tilegate.decision."
# What people look for in MLflow, under names of their own; all of it is in METADATA as well.
_SHOWN = ("fpr", "fpr_upper", "tpr", "tpr_lower", "threshold", "variant", "tflite_sha256")
_VERDICT = "verdict"


def version_tags(*, execution_id: str, sha256: str, metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the tags a version is created with, in the one transaction that makes it."""
    tags = {STATUS: PENDING, SHA256: sha256, METADATA: json.dumps(metadata, sort_keys=True)}
    tags |= {name: metadata[name] for name in _SHOWN if name in metadata}
    if "failed_checks" in metadata:
        tags[_VERDICT] = "passed" if metadata["failed_checks"] == "0" else "rejected"
    return tags | ({EXECUTION_ID: execution_id} if execution_id else {})


def tags_of(version: ModelVersion) -> dict[str, str]:
    """Return all tags that a version has by now."""
    tags = version_tags(execution_id=version.execution_id, sha256=version.sha256, metadata=version.metadata)
    decisions = {
        f"{_DECISION}{number:04d}": json.dumps(asdict(decision), ensure_ascii=False)
        for number, decision in enumerate(version.decisions, 1)
    }
    return tags | decisions | {STATUS: version.status}


def versions_of(group: str, records: Iterable[Record], artifacts: str) -> list[ModelVersion]:
    """Return a group's versions, oldest first; `artifacts` is the URI of the folder of the home's artefacts."""
    registered: dict[int, Registration] = {}
    histories: dict[int, tuple[Decision, ...]] = {}
    for record in records:
        if isinstance(record, Moved) or record.group != group:
            continue
        if isinstance(record, Registration):
            registered[record.version] = record
        elif record.decision.sha256 == registered[record.version].sha256:
            histories[record.version] = (*histories.get(record.version, ()), record.decision)
    champion = champion_of(histories)
    return [
        _version(one, histories.get(one.version, ()), artifacts, is_champion=one.version == champion)
        for _, one in sorted(registered.items())
    ]


def _version(
    registered: Registration, history: tuple[Decision, ...], artifacts: str, *, is_champion: bool
) -> ModelVersion:
    inside = ":/" not in registered.artifact
    return ModelVersion(
        group=registered.group,
        version=registered.version,
        status=history[-1].status if history else PENDING,
        created=registered.created,
        execution_id=registered.execution_id,
        sha256=registered.sha256,
        metadata=registered.metadata,
        description=registered.description,
        decisions=history,
        artifact_uri=f"{artifacts}/{registered.artifact}" if inside else registered.artifact,
        is_champion=is_champion,
    )
