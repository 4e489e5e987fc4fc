"""A start on this machine: where a home keeps things, and what a run there begins with."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.code_digest import program_digest
from pipelines.data.snapshots import Snapshot, catalogue_batches, current_dataset
from pipelines.data.withdrawals import withdrawn_batches
from pipelines.definition.parameters import SAMPLE_PARAMETERS, pipeline_parameters
from pipelines.definition.settings import Settings
from pipelines.definition.step_table import DATA, programs
from pipelines.executor.store import LocalStore
from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.runs.imagenet import IMAGENET, imagenet_weights
from pipelines.runs.inputs import data_here, snapshot_of, weights_of
from pipelines.runs.local_history import runs_here
from pipelines.runs.sample_data import write_sample
from pipelines.runs.start import Ground, prepare, values_of, with_plan
from pipelines.storage.folder import FolderObjects
from steps.core.common.errors import UserError
from steps.core.dataset.classes import AUTO, Classes
from steps.core.dataset.snapshot import LABELS

# Not part of what a run is asked for: they follow from it, or from what was there when it started.
_DERIVED = ("PlanUri", "CheckpointsUri", "ChampionUri", "LedgerUri")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a person asked for; `parameters` are those given by name.

    Without `data` the catalogue's batches are meant, or the embedded sample if there are none or if `sample` says so.
    `labels` is the labels file in `data`.
    """

    home: Path
    data: Path | None = None
    sample: bool = False
    weights: Path | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    labels: str | None = None


class LocalStart:
    """Starts of the pipeline that `settings` describe, in a home."""

    def __init__(self, home: Path, settings: Settings) -> None:
        self.home, self.settings = home, settings
        self.store = LocalStore(home / "store")
        self.data = data_here(self.store, settings)
        artifacts = self.store.path(settings.artifact_uri())
        self.artifacts = FolderObjects(artifacts, artifacts.name)

    def chosen(self, request: RunRequest) -> tuple[dict[str, Any], bool]:
        """Return every parameter's value as a request has it, and whether it is for the sample; brings nothing here."""
        on_sample = request.sample or not (request.data or self._labelled())
        preset = SAMPLE_PARAMETERS if on_sample else {}
        return values_of(defaults_of(self.settings), {**preset, **request.parameters}), on_sample

    def _labelled(self) -> int:
        """Return how many batches of labels were added."""
        return sum(batch.kind == LABELS for batch in catalogue_batches(self.data))

    def values(self, chosen: Mapping[str, Any], weights: Path | None) -> dict[str, Any]:
        """Return the value of every parameter, as `values_of` has it, after the weights were brought into the store."""
        values = values_of(defaults_of(self.settings), chosen)
        return values | self.weights(values["Backbone"], weights)

    def weights(self, backbone: str, weights: Path | None) -> dict[str, str]:
        """Return the parameter that names the weights that a person gave, nothing if none were given."""
        if weights is None:
            return {}
        if str(weights) == IMAGENET:
            weights = imagenet_weights(backbone, self.home)
        return {"PretrainedWeightsUri": weights_of(weights, backbone, self.artifacts)}

    def asked(self, request: RunRequest) -> tuple[Snapshot, dict[str, Any]]:
        """Bring the data that a person asked for into the store; return their snapshot and every parameter's value."""
        if request.labels and not request.data:
            raise UserError("--labels names the labels file in --data, which is missing")
        values, is_sample = self.chosen(request)
        if is_sample and not request.sample and withdrawn_batches(self.data):
            raise UserError(
                "all labelled data were withdrawn: add other data, or give --sample for the embedded sample"
            )
        values |= self.weights(values["Backbone"], request.weights)
        added = None if request.data or is_sample else current_dataset(self.data)
        if added:
            print(f"Data: {len(added.batches)} batches that were added with `tilegate data add`", flush=True)
            snapshot = added
        else:
            if not (is_sample or request.weights):
                print(
                    "Weights: a small backbone that knows the sample alone; `--weights imagenet` is better", flush=True
                )
            sample = "the embedded sample, drawn by code. It shows that the workflow works, not how good a model is."
            print(f"Data: {sample if is_sample else request.data}", flush=True)
            if request.data and (others := self._labelled()):
                print(
                    f"Left out: {others} batches that were added with `tilegate data add`; `--data`, or `data` in "
                    "tilegate.toml, names other data",
                    flush=True,
                )
            data = request.data or write_sample(self.home / "sample")
            attribute = None if values["LabelAttribute"] == AUTO else str(values["LabelAttribute"])
            classes = Classes.parse(values["Classes"])
            snapshot = snapshot_of(data, self.store, self.settings, classes, labels=request.labels, attribute=attribute)
        print(f"Dataset {snapshot.uri}")
        return snapshot, values

    def with_plan(self, snapshot: Snapshot, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a validation alone begins with."""
        return with_plan(self._ground, snapshot, values, runs_here(self.home), _code_of_data())

    def prepare(self, snapshot: Snapshot, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a run on a snapshot begins with, the value of every parameter."""
        identity = identity_of({**values, "DatasetUri": snapshot.uri})
        earlier = runs_here(self.home)
        return prepare(self._ground, snapshot, values, earlier, identity=identity, code=_code_of_data())

    @cached_property
    def _ground(self) -> Ground:
        return Ground(
            pipeline=self.settings.name,
            group=self.settings.model_package_group,
            data=self.data,
            artifacts=self.artifacts,
            registry=MlflowRegistry(self.home),
        )


def defaults_of(settings: Settings) -> dict[str, Any]:
    """Return the default of every parameter, None for those that a start finds out."""
    return {parameter.name: parameter.default for parameter in pipeline_parameters(settings)}


def identity_of(parameters: Mapping[str, Any]) -> str:
    """Return the digest of what a run on this machine is asked for: its parameters and the code of every program."""
    asked = {name: value for name, value in sorted(parameters.items()) if name not in _DERIVED}
    code = [program_digest(f"steps.{program}") for program in programs()]
    return hashlib.sha256(json.dumps([asked, code], default=str).encode()).hexdigest()[:32]


def _code_of_data() -> str:
    return "".join(program_digest(f"steps.{program}") for program in programs(role=DATA))
