"""The model registry of one machine: MLflow's, in the home's SQLite file, with no server."""

import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pipelines.registry.artifact import BUNDLE, check_artifact, fetch_verified, stage
from pipelines.registry.decisions import decide, is_repeated, wished_version
from pipelines.registry.journal import Decided, Journal, Registration, versions_of
from pipelines.registry.protocol import APPROVED, ModelRegistry, ModelVersion, RegistryError, Wish
from pipelines.registry.requests import (
    check_archive,
    check_pending,
    checked_group,
    execution_of,
    group_of,
    metadata_of,
)
from pipelines.tracking.database import artifact_root, database_path, experiment_id, open_client
from pipelines.tracking.pyfunc import log_model
from steps.core.common.files import sha256_file
from steps.core.common.scratch import scratch
from steps.network.archive import FILE_NAME as ARCHIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient

CHAMPION = "champion"
# The metadata of a version that people search MLflow for, under names of their own.
_SHOWN = ("fpr", "fpr_upper", "tpr", "tpr_lower", "threshold", "variant", "tflite_sha256")
_OWN_EXPERIMENT = "model-registry"
_PAGE = 1000
_LONGEST_CARD = 5_000  # what MLflow takes as a description
RunFor = Callable[[Mapping[str, Any]], str | None]


class MlflowRegistry(ModelRegistry):
    """Model versions whose files MLflow keeps. The home's journal is the truth; MLflow's tags and alias mirror it.

    `run_for` names the MLflow run of the execution (`MlflowTracker.registration_run`); without one, or if it knows
    none, the model lies in the experiment `model-registry`.
    """

    def __init__(self, home: Path, *, run_for: RunFor | None = None) -> None:
        self._home = home
        self._journal = Journal(home)
        self._artifacts = artifact_root(home).as_uri()
        self._run_for = run_for
        self._opened: MlflowClient | None = None

    def register(self, arguments: Mapping[str, Any], model_data: Path) -> ModelVersion:
        """Add a version from a CreateModelPackage request and its artefact; it waits for approval.

        The same bytes again give the version that exists, whatever was decided on it: nobody is asked twice about one
        bundle, be it a resumed run that registers it or one that reused every step.
        """
        group = group_of(arguments)
        check_pending(arguments)
        if not model_data.is_file():
            raise RegistryError(f"{model_data} does not exist: {group} cannot get a version without its {ARCHIVE}")
        digest = sha256_file(model_data)
        check_archive(arguments, digest)
        # Asked before the lock is taken: the answer comes from a thread that may itself be waiting for the store.
        run_id = self._run_for(arguments) if self._run_for else None
        with self._writing() as client:
            if version := next((version for version in self._read(group) if version.sha256 == digest), None):
                self._mirror(client, group, self._read(group))
                return version
            if run_id:
                experiment = client.get_run(run_id).info.experiment_id
            else:
                experiment = experiment_id(client, self._home, _OWN_EXPERIMENT)
            with scratch("register") as folder:
                stage(model_data, folder)
                if sha256_file(folder / ARCHIVE) != digest:
                    raise RegistryError(f"{model_data} changed while it was registered: register it again")
                # Named by its content: a retried step that made other bytes must not write over a version that exists.
                name = f"{group}-{digest[:12]}"
                logged = log_model(client, name, folder, BUNDLE, experiment=experiment, run_id=run_id)
                card = folder / BUNDLE / "MODEL_CARD.md"
                description = card.read_text(encoding="utf-8")[:_LONGEST_CARD] if card.is_file() else ""
            number = self._make(client, arguments, logged, description, run_id)
            self._journal.append(
                Registration(
                    group=group,
                    version=number,
                    created=datetime.now(UTC).isoformat(timespec="milliseconds"),
                    execution_id=execution_of(arguments),
                    sha256=digest,
                    metadata=metadata_of(arguments),
                    description=str(arguments.get("ModelPackageDescription") or ""),
                    artifact=logged.artifact_location.removeprefix(f"{self._artifacts}/"),
                )
            )
            versions = self._read(group)
            self._mirror(client, group, versions)
            return _pick(versions, group, number)

    def register_step(self, arguments: Mapping[str, Any], model_data: Path) -> Mapping[str, Any]:
        """Register for the executor's RegisterModel step; return the properties that SageMaker's step has."""
        version = self.register(arguments, model_data)
        arn = f"arn:aws:sagemaker:local:000000000000:model-package/{version.group}/{version.version}"
        return {
            "ModelPackageArn": arn,
            "ModelPackageGroupName": version.group,
            "ModelPackageVersion": version.version,
            "ModelApprovalStatus": version.status,
        }

    def versions(self, group: str) -> list[ModelVersion]:
        with self._translated():
            return self._read(checked_group(group))

    def get(self, group: str, version: int) -> ModelVersion:
        return _pick(self.versions(group), group, version)

    def load_champion(self, group: str) -> ModelVersion | None:
        return next((version for version in self.versions(group) if version.is_champion), None)

    def download(self, version: ModelVersion, dest: Path) -> Path:
        folder = Path(unquote(urlsplit(version.artifact_uri).path))
        with self._translated():
            what = f"{folder / ARCHIVE} of {version.group} version {version.version}"
            return fetch_verified(lambda path: shutil.copyfile(folder / ARCHIVE, path), dest, version.sha256, what)

    def _decide(self, group: str, wish: Wish) -> ModelVersion:
        with self._writing() as client:
            versions = self._read(checked_group(group))
            histories = {version.version: version.decisions for version in versions}
            version = _pick(versions, group, wished_version(wish, group, histories))
            if not is_repeated(wish, version, histories):
                decision = decide(wish, version, histories)
                if wish.status == APPROVED:
                    check_artifact(self, version)
                self._journal.append(Decided(group, version.version, decision))
                versions = self._read(group)
            self._mirror(client, group, versions)
            return _pick(versions, group, version.version)

    def _mirror(self, client: "MlflowClient", group: str, versions: list[ModelVersion]) -> None:
        """Make MLflow's tags and alias say what the journal says, whoever changed them or was killed before."""
        shown = {int(entity.version): dict(entity.tags) for entity in _entities(client, group)}
        for version in versions:
            for key, value in tags_of(version).items():
                if version.version in shown and shown[version.version].get(key) != value:
                    client.set_model_version_tag(group, str(version.version), key, value)
        champion = next((version.version for version in versions if version.is_champion), None)
        if champion in shown:
            client.set_registered_model_alias(group, CHAMPION, str(champion))
        elif shown:
            client.delete_registered_model_alias(group, CHAMPION)

    def _make(
        self, client: "MlflowClient", arguments: Mapping[str, Any], logged: Any, description: str, run_id: str | None
    ) -> int:
        """Make MLflow's version, or take up the one of a registration that was killed before it was in the journal."""
        group = group_of(arguments)
        if not client.search_registered_models(f"name = '{group}'"):
            client.create_registered_model(group)
        known = {version.version for version in self._read(group)}
        source = logged.artifact_location
        left = (int(found.version) for found in _entities(client, group) if found.source == source)
        number = next((version for version in left if version not in known), None)
        # Whoever deletes the group in MLflow lets it count from 1 again.
        while number is None or number in known:
            made = client.create_model_version(
                group,
                source,
                run_id,
                description=description or str(arguments.get("ModelPackageDescription") or ""),
                await_creation_for=0,
                # Without a run MLflow would look for the model in its global store.
                model_id=logged.model_id if run_id else None,
            )
            number = int(made.version)
        return number

    def _read(self, group: str) -> list[ModelVersion]:
        return versions_of(group, self._journal.read(), self._artifacts)

    @contextmanager
    def _writing(self) -> "Iterator[MlflowClient]":
        """Hold the registry's lock: reading, checking and writing a decision is one act, across processes."""
        with self._translated():
            self._opened = self._opened or open_client(self._home)
            with self._journal.locked():
                yield self._opened

    @contextmanager
    def _translated(self) -> "Iterator[None]":
        try:
            yield
        except RegistryError:
            raise
        except TimeoutError as error:  # of the lock
            raise RegistryError(str(error)) from error
        except Exception as error:
            if not isinstance(error, _errors_of_a_store()):
                raise
            said = str(error).partition("\n")[0]
            raise RegistryError(f"MLflow's store {database_path(self._home)} cannot be used: {said}") from error


def _entities(client: "MlflowClient", group: str) -> list[Any]:
    from mlflow.utils import get_results_from_paginated_fn

    found: list[Any] = get_results_from_paginated_fn(
        lambda most, token: client.search_model_versions(f"name = '{group}'", most, page_token=token), _PAGE
    )
    return found


def _errors_of_a_store() -> tuple[type[Exception], ...]:
    if "mlflow" not in sys.modules:
        return (sqlite3.Error,)
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return sqlite3.Error, MlflowException, SQLAlchemyError


def _pick(versions: list[ModelVersion], group: str, number: int) -> ModelVersion:
    for version in versions:
        if version.version == number:
            return version
    known = ", ".join(str(version.version) for version in versions) or "none"
    raise RegistryError(f"{group} has no version {number}: its versions are {known}")


def tags_of(version: ModelVersion) -> dict[str, str]:
    """Return the tags by which MLflow mirrors a version."""
    tags = {
        "tilegate.status": version.status,
        "tilegate.sha256": version.sha256,
        "tilegate.execution_id": version.execution_id,
        "tilegate.metadata": json.dumps(version.metadata, sort_keys=True),
    }
    for number, decision in enumerate(version.decisions, 1):
        tags[f"tilegate.decision.{number:04d}"] = json.dumps(asdict(decision), ensure_ascii=False)
    tags |= {name: version.metadata[name] for name in _SHOWN if name in version.metadata}
    if "failed_checks" in version.metadata:
        tags["verdict"] = "passed" if version.metadata["failed_checks"] == "0" else "rejected"
    return tags
