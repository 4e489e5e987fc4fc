"""Versions and decisions as MLflow's tags, written and read back."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pipelines.registry.decisions import champion_of
from pipelines.registry.protocol import PENDING, Decision, ModelVersion

STATUS = "tilegate.status"
EXECUTION_ID = "tilegate.execution_id"
SHA256 = "tilegate.sha256"
METADATA = "tilegate.metadata"
_DECISION = "tilegate.decision."


def version_tags(*, execution_id: str, sha256: str, metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the tags a version is created with, in the one transaction that makes it."""
    tags = {STATUS: PENDING, SHA256: sha256, METADATA: json.dumps(metadata, sort_keys=True)}
    return tags | ({EXECUTION_ID: execution_id} if execution_id else {})


def decision_tag(history: tuple[Decision, ...], decision: Decision) -> tuple[str, str]:
    """Return the tag that appends a decision: each has a key of its own, so none replaces another."""
    return f"{_DECISION}{len(history) + 1:04d}", json.dumps(asdict(decision), ensure_ascii=False)


def read_versions(entities: list[Any]) -> list[ModelVersion]:
    """Return a group's versions, oldest first; one made by hand in MLflow, with no sha256 of ours, is left out."""
    ours = sorted((entity for entity in entities if SHA256 in entity.tags), key=lambda entity: int(entity.version))
    histories = {int(entity.version): _history(entity.tags) for entity in ours}
    champion = champion_of(histories)
    return [_version(entity, histories[int(entity.version)], champion) for entity in ours]


def _version(entity: Any, history: tuple[Decision, ...], champion: int | None) -> ModelVersion:
    created = datetime.fromtimestamp(entity.creation_timestamp / 1000, UTC)
    return ModelVersion(
        group=entity.name,
        version=int(entity.version),
        # The history decides, not the status tag: a kill between the two writes would leave the tag behind.
        status=history[-1].status if history else PENDING,
        created=created.isoformat(timespec="milliseconds"),
        execution_id=entity.tags.get(EXECUTION_ID, ""),
        sha256=entity.tags[SHA256],
        metadata=json.loads(entity.tags.get(METADATA, "{}")),
        description=entity.description or "",
        decisions=history,
        artifact_uri=entity.source,
        is_champion=int(entity.version) == champion,
    )


def _history(tags: Mapping[str, str]) -> tuple[Decision, ...]:
    return tuple(Decision(**json.loads(tags[key])) for key in sorted(tags) if key.startswith(_DECISION))
