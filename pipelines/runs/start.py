"""The preparation of a start: from a snapshot of the labelled data to the value of every parameter of an execution.

It is the same on this machine and in AWS. What differs is where things lie (`Ground`), which defaults the definition
has that will run, and who starts the execution then (`pipelines.runs.executions`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.data.snapshots import Snapshot
from pipelines.definition.parameters import check_parameters, warm_start_names
from pipelines.definition.settings import CHECKPOINTS
from pipelines.planning.baselines import champion_source, champion_uri, ledger_uri, previous_source, warm_start_parents
from pipelines.planning.earlier_runs import EarlierRun
from pipelines.planning.planner import OF_VALIDATION, plan_run
from pipelines.planning.seed import seed, weights_sha256
from pipelines.registry.protocol import ModelRegistry
from pipelines.storage.protocol import ObjectStore
from steps.core.common.errors import UserError
from steps.core.dataset.classes import AUTO, Classes
from steps.core.dataset.rows import check_readings
from steps.core.tiles.features import features_key
from steps.core.tiles.spec import PreprocessingSpec


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a pipeline's executions find their data and leave their results; `group` is that of its models."""

    pipeline: str
    group: str
    data: ObjectStore
    artifacts: ObjectStore
    registry: ModelRegistry


def values_of(defaults: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of every parameter, None for what a start finds out; raises UserError for a wrong one."""
    values = {**defaults, **chosen}
    check_parameters(values)
    return values


def reading_of(values: Mapping[str, Any]) -> tuple[Classes, str | None]:
    """Return the classes and the label attribute by which labels are read."""
    attribute = None if values["LabelAttribute"] == AUTO else str(values["LabelAttribute"])
    return Classes.parse(values["Classes"]), attribute


def with_plan(
    ground: Ground, snapshot: Snapshot, values: Mapping[str, Any], earlier: Sequence[EarlierRun], code: str
) -> dict[str, Any]:
    """Return `values` with all that ValidateData needs: the snapshot, and a plan that compares it with others.

    `code` identifies the programs of the data. Whatever else makes ValidateData run again gets a plan of its own, too,
    which asks for what the store does not know by then.
    """
    check_readings(snapshot.batches, *reading_of(values))
    seed(ground.artifacts)
    spec = PreprocessingSpec(tile_size=values["TileSize"])
    weights = weights_sha256(ground.artifacts, values["PretrainedWeightsUri"])
    champion = ground.registry.load_champion(ground.group)
    plan = plan_run(
        ground.data,
        snapshot.source,
        spec,
        features=features_key(spec, values["Backbone"], weights),
        code=json.dumps([code, {name: values[name] for name in OF_VALIDATION}], sort_keys=True),
        champion=champion_source(champion, snapshot, ground.data),
        previous=previous_source(earlier, snapshot, ground.data),
    )
    checkpoints = ground.artifacts.uri(f"{CHECKPOINTS}/{plan.rpartition('/')[2]}")
    return {**values, "DatasetUri": snapshot.uri, "PlanUri": plan, "CheckpointsUri": checkpoints}


def prepare(
    ground: Ground,
    snapshot: Snapshot,
    values: Mapping[str, Any],
    earlier: Sequence[EarlierRun],
    *,
    identity: str,
    code: str,
    parents: int | None = None,
) -> dict[str, Any]:
    """Return the value of every parameter of an execution on `snapshot`, after all that it needs was brought there.

    `identity` is the digest of what is asked, `code` as for `with_plan`. The tuning starts warm from exactly `parents`
    earlier jobs, by default from as many as there are. Raises UserError for a parameter that nobody gives a value.
    """
    known = with_plan(ground, snapshot, values, earlier, code) | {
        "ChampionUri": champion_uri(ground.artifacts, ground.registry, ground.group, earlier, identity),
        "LedgerUri": ledger_uri(ground.artifacts, earlier, identity),
    }
    known |= _parents(ground.pipeline, known, earlier, parents)
    if unknown := sorted(name for name, value in known.items() if value is None):
        raise UserError(
            f"the deployed pipeline wants {unknown[0]}, which this version of tilegate does not know: deploy both "
            "from one version"
        )
    return known


def _parents(
    pipeline: str, values: Mapping[str, Any], earlier: Sequence[EarlierRun], wanted: int | None
) -> dict[str, str]:
    """Return the tuning jobs to start warm from, the latest first."""
    if wanted == 0:
        return {}
    found = warm_start_parents(earlier, pipeline, values)
    if wanted and len(found) < wanted:
        raise UserError(
            f"the deployed pipeline starts its tuning warm from {wanted} earlier nights, and {len(found)} are "
            "there of the same search: deploy it with `--warm-start-parents 0`, until there are as many"
        )
    found = found[:wanted]
    return dict(zip(warm_start_names(len(found)), found, strict=True))
