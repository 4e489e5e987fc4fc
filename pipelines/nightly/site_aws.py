"""Nights in AWS: the data and artefact buckets, the deployed pipeline, SageMaker's registry."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipelines.aws.errors import aws_errors
from pipelines.data.snapshots import Snapshot, current_dataset, read_card
from pipelines.environment import INBOX, Environment
from pipelines.nightly.deployed_definition import Deployed
from pipelines.nightly.lease import Check, leased
from pipelines.nightly.night import Clock
from pipelines.nightly.records import Question
from pipelines.planning.earlier_runs import EarlierRun
from pipelines.runs.sagemaker_executions import SageMakerExecutions
from pipelines.storage.protocol import ObjectStore
from steps.core.dataset.classes import AUTO, Classes
from steps.core.dataset.snapshot import Batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.registry.protocol import ModelRegistry


class CloudSite:
    """The nights of an environment. `client` is boto3's of SageMaker; `chosen` are parameters given by name.

    The registry is opened when something starts. `duration` is how long a starter may run: a killed one keeps others
    out until then. Within `settle`, by default as the inbox has it, nothing of a dropped batch may have changed before
    it is taken in.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        client: Any,
        data: ObjectStore,
        artifacts: ObjectStore,
        registry: "Callable[[], ModelRegistry]",
        chosen: Mapping[str, Any],
        duration: timedelta = timedelta(minutes=15),
        settle: timedelta | None = None,
    ) -> None:
        self._environment, self._client = environment, client
        self._data, self.artifacts = data, artifacts
        self._registry, self._given = registry, chosen
        self._duration, self._settle = duration, settle
        self.executions = SageMakerExecutions(client, environment.pipeline_arn)

    @property
    def pipeline(self) -> str:
        return self._environment.pipeline

    def alone(self, clock: Clock) -> AbstractContextManager[Check]:
        return leased(self.artifacts, self._duration, clock)

    def take_in(self) -> Iterator[str]:
        if next(iter(self._data.list(INBOX)), None) is None:
            return  # Most nights: reading batches takes more code than all the rest.
        from pipelines.data.inbox import SETTLE, take_in_inbox
        from pipelines.runs.start import values_of

        values = values_of(self._deployed.defaults(), self._chosen)
        classes, attribute = Classes.parse(values["Classes"]), values["LabelAttribute"]
        named = None if attribute == AUTO else attribute
        settle = SETTLE if self._settle is None else self._settle
        yield from map(str, take_in_inbox(self._data, classes, attribute=named, settle=settle))

    def data(self) -> Snapshot | None:
        return current_dataset(self._data)

    def settings(self) -> str:
        """See the protocol; a parameter that is given its default value makes no other question."""
        defaults = self._deployed.defaults()
        chosen = {name: value for name, value in self._chosen.items() if value != defaults[name]}
        return hashlib.sha256(json.dumps([self._deployed.digest, chosen], sort_keys=True).encode()).hexdigest()

    def labels(self, batch: Batch) -> int:
        card = read_card(self._data, batch.name)
        return card.rows - card.refused

    def parameters(self, data: Snapshot, question: Question, earlier: Sequence[EarlierRun]) -> Mapping[str, Any]:
        """See the protocol. Every parameter is given: the record then tells all, whatever is deployed later."""
        from pipelines.runs.start import Ground, prepare, values_of

        ground = Ground(
            self.pipeline, self._environment.model_package_group, self._data, self.artifacts, self._registry()
        )
        return prepare(
            ground,
            data,
            values_of(self._deployed.defaults(), self._chosen),
            earlier,
            identity=question.digest[:32],
            code=self._deployed.of_data,
            parents=self._deployed.warm_start_parents,
        )

    @cached_property
    def _deployed(self) -> Deployed:
        with aws_errors(f"read the pipeline {self.pipeline}"):
            told = self._client.describe_pipeline(PipelineName=self.pipeline)
        return Deployed(str(told["PipelineDefinition"]))

    @cached_property
    def _chosen(self) -> dict[str, Any]:
        return self._deployed.typed(self._given)
