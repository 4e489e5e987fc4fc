"""Nights in AWS: the data and artefact buckets, the deployed pipeline, SageMaker's registry."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipelines.aws.errors import aws_errors
from pipelines.data.clock import Clock
from pipelines.data.snapshots import Snapshot, current_dataset, read_card
from pipelines.definition.step_table import DATA, names
from pipelines.environment import INBOX, Environment
from pipelines.executor.errors import DefinitionError
from pipelines.executor.parameters import bind
from pipelines.nightly.decide import Rules
from pipelines.nightly.lease import Check, leased
from pipelines.nightly.records import Question
from pipelines.planning.earlier_runs import EarlierRun
from pipelines.runs.sagemaker_executions import SageMakerExecutions
from pipelines.storage.protocol import ObjectStore
from pipelines.storage.s3 import S3Objects
from steps.core.common.errors import UserError
from steps.core.dataset.snapshot import Batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.aws.session import Deployment
    from pipelines.registry.protocol import ModelRegistry

_RULES = {
    "TILEGATE_MIN_NEW_LABELS": ("min_new_labels", int),
    "TILEGATE_MAX_AGE_DAYS": ("max_age_days", float),
    "TILEGATE_MAX_ATTEMPTS": ("max_attempts", int),
}
_PARAMETERS = "TILEGATE_PARAMETERS"


@dataclass(frozen=True)
class Deployed:
    """The definition that is deployed, as its JSON: a function may be older or newer, and what would run counts."""

    text: str

    @cached_property
    def digest(self) -> str:
        """The sha256 of what it says, images included, however it is spelled."""
        return hashlib.sha256(json.dumps(self._document, sort_keys=True).encode()).hexdigest()

    @property
    def of_data(self) -> str:
        """The digest of how it reads, checks and cuts data; the steps' images are part of their arguments."""
        steps = [step for step in self._document["Steps"] if step["Name"] in names(DATA)]
        return hashlib.sha256(json.dumps(steps, sort_keys=True).encode()).hexdigest()

    @property
    def warm_start_parents(self) -> int:
        from pipelines.definition.parameters import is_warm_start

        return sum(is_warm_start(str(parameter["Name"])) for parameter in self._document["Parameters"])

    def defaults(self) -> dict[str, Any]:
        """Return every parameter's default in its type, None for those that every start has to give."""
        return {
            name: bind([parameter], {})[name] if "DefaultValue" in parameter else None
            for name, parameter in self._declared.items()
        }

    def typed(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """Return chosen values in their types; raises UserError for names and values that the definition refuses."""
        declared = self._declared
        if unknown := sorted(chosen.keys() - declared.keys()):
            raise UserError(
                f"the deployed pipeline has no parameter {unknown[0]}: it has {', '.join(sorted(declared))}"
            )
        try:
            return dict(bind([declared[name] for name in chosen], chosen))
        except DefinitionError as error:
            raise UserError(str(error)) from None

    @property
    def _declared(self) -> dict[str, Mapping[str, Any]]:
        return {str(parameter["Name"]): parameter for parameter in self._document["Parameters"]}

    @cached_property
    def _document(self) -> Any:
        document = json.loads(self.text)
        if not isinstance(document, dict) or "Parameters" not in document or "Steps" not in document:
            raise UserError("the deployed pipeline is none of tilegate's: deploy it again with `tilegate deploy`")
        return document


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
        from pipelines.runs.start import reading_of, values_of

        values = values_of(self._deployed.defaults(), self._chosen)
        classes, attribute = reading_of(values)
        settle = SETTLE if self._settle is None else self._settle
        yield from map(str, take_in_inbox(self._data, classes, attribute=attribute, settle=settle))

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
            answer = self._client.describe_pipeline(PipelineName=self.pipeline)
        return Deployed(str(answer["PipelineDefinition"]))

    @cached_property
    def _chosen(self) -> dict[str, Any]:
        return self._deployed.typed(self._given)


def open_cloud_site(
    deployment: "Deployment", chosen: Mapping[str, Any], *, duration: timedelta = timedelta(minutes=15)
) -> CloudSite:
    """Open the nights of an environment; `chosen` are run parameters by name, `duration` as `CloudSite` has it."""

    def registry() -> "ModelRegistry":
        from pipelines.registry.opening import registry_of

        return registry_of(deployment).registry

    environment, s3 = deployment.environment, deployment.client("s3")
    return CloudSite(
        environment,
        client=deployment.client("sagemaker"),
        data=S3Objects(s3, environment.data_bucket),
        artifacts=S3Objects(s3, environment.artifact_bucket),
        registry=registry,
        chosen=chosen,
        duration=duration,
    )


def rules_of(variables: Mapping[str, str], *, force: bool = False) -> Rules:
    """Return the rules that a function's environment variables give; raises UserError for one that is none."""
    given: dict[str, Any] = {"force": force}
    for variable, (name, kind) in _RULES.items():
        if text := variables.get(variable, ""):
            try:
                given[name] = kind(text)
            except ValueError:
                raise UserError(f"{variable} is {text!r}: a number is wanted") from None
    return Rules(**given)


def parameters_of(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the run parameters that TILEGATE_PARAMETERS gives, a JSON object; raises UserError for anything else."""
    text = variables.get(_PARAMETERS) or "{}"
    try:
        chosen = json.loads(text)
    except ValueError:
        chosen = None
    if not isinstance(chosen, dict):
        raise UserError(f"{_PARAMETERS} is {text[:80]!r}: a JSON object of run parameters by name is wanted")
    return chosen
