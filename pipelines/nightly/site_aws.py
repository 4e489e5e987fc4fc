"""Nights in AWS: the data and artefact buckets, the deployed pipeline, SageMaker's registry."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from functools import cached_property
from typing import Any

from pipelines.aws.session import aws_errors
from pipelines.data.batch_card import Card
from pipelines.data.inbox import SETTLE, take_in_inbox
from pipelines.data.snapshots import Snapshot, current_dataset
from pipelines.definition.parameters import check_parameters, warm_start_names
from pipelines.environment import Environment
from pipelines.nightly.deployed_definition import Deployed
from pipelines.nightly.lease import Lease, leased
from pipelines.nightly.night import Clock, Data
from pipelines.nightly.records import Question
from pipelines.planning.baselines import champion_source, previous_source
from pipelines.planning.champion_and_ledger import champion_uri, ledger_uri
from pipelines.planning.earlier_runs import EarlierRun
from pipelines.planning.planner import OF_VALIDATION, plan_run
from pipelines.planning.warm_start import warm_start_parents
from pipelines.registry.protocol import ModelRegistry
from pipelines.runs.sagemaker_executions import SageMakerExecutions
from pipelines.storage.protocol import LostRace, ObjectStore
from steps.core.common.errors import UserError
from steps.core.dataset.classes import AUTO, Classes
from steps.core.dataset.plan import Source
from steps.core.dataset.snapshot import Batch
from steps.core.tiles.spec import PreprocessingSpec
from steps.network.weights import RANDOM_FILE

_RANDOM = f"weights/random/{RANDOM_FILE}"


class CloudSite:
    """The nights of an environment. `client` is boto3's of SageMaker; `chosen` are parameters given by name.

    `duration` is how long a starter may run: a killed one keeps others out until then. Within `settle` nothing of a
    dropped batch may have changed before it is taken in.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        client: Any,
        data: ObjectStore,
        artifacts: ObjectStore,
        registry: ModelRegistry,
        chosen: Mapping[str, Any],
        duration: timedelta = timedelta(minutes=15),
        settle: timedelta = SETTLE,
    ) -> None:
        self._environment, self._client = environment, client
        self._data, self.artifacts = data, artifacts
        self._registry, self._given = registry, chosen
        self._duration, self._settle = duration, settle
        self.executions = SageMakerExecutions(client, environment.pipeline_arn)

    @property
    def pipeline(self) -> str:
        return self._environment.pipeline

    def alone(self, clock: Clock) -> AbstractContextManager[Lease]:
        return leased(self.artifacts, self._duration, clock)

    def take_in(self) -> Iterator[str]:
        values = {**self._deployed.defaults(), **self._chosen}
        classes, attribute = Classes.parse(values["Classes"]), values["LabelAttribute"]
        named = None if attribute == AUTO else attribute
        yield from map(str, take_in_inbox(self._data, classes, attribute=named, settle=self._settle))

    def data(self) -> Data | None:
        found = current_dataset(self._data)
        return Data(found.uri, found.batches) if found else None

    def settings(self) -> str:
        """See the protocol; a parameter that is given its default value makes no other question."""
        defaults = self._deployed.defaults()
        chosen = {name: value for name, value in self._chosen.items() if value != defaults[name]}
        return hashlib.sha256(json.dumps([self._deployed.digest, chosen], sort_keys=True).encode()).hexdigest()

    def labels(self, batch: Batch) -> int:
        key = f"catalogue/{batch.name}.json"
        card = Card.parse(self._data.get(key).decode(), self._data.uri(key))
        return card.rows - card.refused

    def parameters(self, data: Data, question: Question, earlier: Sequence[EarlierRun]) -> Mapping[str, str]:
        """See the protocol. Every parameter is given: the record then tells all, whatever is deployed later."""
        values = {**self._deployed.defaults(), **self._chosen, "DatasetUri": data.uri}
        check_parameters(values)
        self._seed_weights(values["PretrainedWeightsUri"])
        group, identity = self._environment.model_package_group, question.digest[:32]
        values |= {
            "PlanUri": self._plan(data, values, earlier),
            "ChampionUri": champion_uri(self.artifacts, self._registry, group, earlier, identity),
            "LedgerUri": ledger_uri(self.artifacts, earlier, identity),
        }
        told = {name: _text(value) for name, value in values.items() if value is not None}
        told |= self._parents(told, earlier)
        if unknown := sorted(values.keys() - told.keys()):
            raise UserError(
                f"the deployed pipeline wants {unknown[0]}, which this version of tilegate does not know: deploy both "
                "from one version"
            )
        return told

    def _plan(self, data: Data, values: Mapping[str, Any], earlier: Sequence[EarlierRun]) -> str:
        snapshot = Snapshot(data.uri, Source(data.uri.rpartition("/")[2]), data.batches)
        champion = self._registry.load_champion(self._environment.model_package_group)
        asked = [self._deployed.of_data, {name: values[name] for name in OF_VALIDATION}]
        return plan_run(
            self._data,
            snapshot.source,
            PreprocessingSpec(tile_size=values["TileSize"]),
            code=json.dumps(asked, sort_keys=True),
            champion=champion_source(champion, snapshot, self._data),
            previous=previous_source(earlier, snapshot, self._data),
        )

    def _parents(self, values: Mapping[str, Any], earlier: Sequence[EarlierRun]) -> dict[str, str]:
        """Return the tuning jobs to start warm from, exactly as many as the definition was compiled for."""
        wanted = self._deployed.warm_start_parents
        if not wanted:
            return {}
        found = warm_start_parents(earlier, self.pipeline, values)
        if len(found) < wanted:
            raise UserError(
                f"the deployed pipeline starts its tuning warm from {wanted} earlier nights, and {len(found)} are "
                "there of the same search: deploy it with `--warm-start-parents 0`, until there are as many"
            )
        return dict(zip(warm_start_names(wanted), found, strict=False))

    @cached_property
    def _deployed(self) -> Deployed:
        with aws_errors(f"read the pipeline {self.pipeline}"):
            told = self._client.describe_pipeline(PipelineName=self.pipeline)
        return Deployed(str(told["PipelineDefinition"]))

    @cached_property
    def _chosen(self) -> dict[str, Any]:
        return self._deployed.typed(self._given)

    def _seed_weights(self, uri: str) -> None:
        if uri == self.artifacts.uri("weights/random") and self.artifacts.info(_RANDOM) is None:
            with suppress(LostRace):
                data = json.dumps({"initialisation": "random"}) + "\n"
                self.artifacts.put(_RANDOM, data.encode(), only_if_absent=True)


def _text(value: Any) -> str:
    """Return a parameter's value as the service takes it: every type as text."""
    return value if isinstance(value, str) else repr(value)
