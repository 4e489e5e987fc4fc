"""A start on this machine: where a home keeps things, what a run there begins with, and how it gets there.

Labelled data and pretrained weights become immutable folders of the store, named by their content.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.code_digest import program_digest
from pipelines.data.add import put_listing, storing
from pipelines.data.snapshots import Snapshot, catalogue_batches, current_dataset, publish_snapshot
from pipelines.data.source import take_in
from pipelines.data.withdrawals import erased_images, withdrawn_batches
from pipelines.definition.parameters import SAMPLE_PARAMETERS, pipeline_parameters
from pipelines.definition.settings import Settings
from pipelines.definition.step_table import DATA, programs
from pipelines.executor.store import LocalStore
from pipelines.planning.seed import upload_weights, weights_folder
from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.runs.imagenet import IMAGENET, imagenet_weights
from pipelines.runs.local_history import runs_here
from pipelines.runs.sample_data import write_sample
from pipelines.runs.start import Ground, prepare, reading_of, values_of, with_plan
from pipelines.storage.folder import FolderObjects
from pipelines.storage.protocol import ObjectStore
from steps.core.common.errors import UserError
from steps.core.common.text import printable
from steps.core.dataset.classes import Classes
from steps.core.dataset.snapshot import AD_HOC, LABELS, Batch
from steps.network.weights import WEIGHTS_SUFFIX

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
        registry = MlflowRegistry(home)
        self._ground = Ground(settings.name, settings.model_package_group, self.data, self.artifacts, registry)

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
        elif not (is_sample or request.weights):
            print("Weights: a small backbone that knows the sample alone; `--weights imagenet` is better", flush=True)
        snapshot = added or self._snapshot(request, values)
        print(f"Dataset {snapshot.uri}")
        return snapshot, values

    def _snapshot(self, request: RunRequest, values: Mapping[str, Any]) -> Snapshot:
        """Bring data that are not added, or the sample, into the store; return their snapshot."""
        sample = "the embedded sample, drawn by code. It shows that the workflow works, not how good a model is."
        print(f"Data: {request.data or sample}", flush=True)
        if request.data and (others := self._labelled()):
            print(
                f"Left out: {others} batches that were added with `tilegate data add`; `--data`, or `data` in "
                "tilegate.toml, names other data",
                flush=True,
            )
        data = request.data or write_sample(self.home / "sample")
        classes, attribute = reading_of(values)
        return snapshot_of(data, self.store, self.settings, classes, labels=request.labels, attribute=attribute)

    def with_plan(self, snapshot: Snapshot, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a validation alone begins with."""
        return with_plan(self._ground, snapshot, values, runs_here(self.home), _code_of_data())

    def prepare(self, snapshot: Snapshot, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a run on a snapshot begins with, the value of every parameter."""
        identity = identity_of({**values, "DatasetUri": snapshot.uri})
        earlier = runs_here(self.home)
        return prepare(self._ground, snapshot, values, earlier, identity=identity, code=_code_of_data())


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


def snapshot_of(
    source: Path,
    store: LocalStore,
    settings: Settings,
    classes: Classes,
    *,
    labels: str | None = None,
    attribute: str | None = None,
) -> Snapshot:
    """Bring the labelled data at `source` (a folder, or a labels file in one) into the store, as one batch for itself.

    It does not become one of the catalogue's batches: those are added on purpose, and stay. A row that points out of
    the folder stays a row, and ValidateData puts it into quarantine. Data that the store already holds are read, but
    not copied again. Raises UserError if there are none.
    """
    data = data_here(store, settings)
    intake = take_in(
        source,
        kind=LABELS,
        classes=classes,
        labels=labels,
        attribute=attribute,
        store=store.root,
        erased=erased_images(data),
    )
    if intake.listing.empty:
        first = f"; the first row: {intake.left_out[0].detail}" if intake.left_out else ""
        raise UserError(f"{intake.folder / intake.labels} names no readable file inside {intake.folder}{first}")
    if intake.left_out:
        row = intake.left_out[0]
        print(f"Left out: {len(intake.left_out):,} rows; row {row.row}, {printable(row.source_ref, 80)}: {row.detail}")
    batch = Batch.of(intake.labels, intake.objects)
    listing = f"{AD_HOC.catalogue}/{batch.name}.parquet"
    if data.info(listing) is None:
        put = storing(data, intake)
        for path, _ in intake.objects:
            put(path, f"{AD_HOC.labelled}/{batch.name}/{path}")
        # Last, because a batch without a listing is not there.
        put_listing(data, listing, intake.listing)
    return publish_snapshot(data, [batch], AD_HOC)


def data_here(store: LocalStore, settings: Settings) -> FolderObjects:
    """Return the data on this machine, as objects."""
    return FolderObjects(store.path(settings.uri()), settings.bucket)


def weights_of(source: Path, backbone: str, artifacts: ObjectStore) -> str:
    """Bring pretrained weights among the artefacts and return their URI.

    `source` is a Keras `*.weights.h5` or a folder in which exactly one is named after the backbone.
    """
    wanted, minimalistic = backbone.replace("-", "_"), backbone.endswith("minimalistic")
    found = [source]
    if not source.is_file():
        found = [path for path in sorted(source.glob(f"*{WEIGHTS_SUFFIX}")) if wanted in path.name]
        found = [path for path in found if minimalistic or "minimalistic" not in path.name]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UserError(f"{source} holds {names} for the backbone {backbone!r}: name one *{WEIGHTS_SUFFIX} file")
    upload_weights(found[0], artifacts)
    return artifacts.uri(f"weights/{weights_folder(found[0])}")
