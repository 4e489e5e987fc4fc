"""The registry of an environment, this machine's or one in AWS, and the snapshots that its versions learnt from."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.definition.settings import Settings
from pipelines.environment import LOCAL
from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.storage.protocol import NoSuchObject, ObjectStore
from steps.core.common.errors import UserError
from steps.core.common.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pipelines.aws.session import Deployment
    from pipelines.registry.difference import Batches
    from pipelines.registry.protocol import ModelRegistry, ModelVersion


@dataclass(frozen=True, slots=True)
class OpenedRegistry:
    """`group` is the environment's own, `data` its data bucket."""

    registry: "ModelRegistry"
    group: str
    data: ObjectStore

    def batches(self, uri: str) -> "Batches | None":
        """Return the batches of a snapshot; None if it is not there, or not for this reader."""
        from steps.core.dataset.plan import DATASETS
        from steps.core.dataset.snapshot import MANIFEST, read_snapshot

        digest = uri.rstrip("/").rpartition("/")[2]
        with scratch("snapshot") as folder:
            try:
                self.data.download(f"{DATASETS}/{digest}/{MANIFEST}", folder / MANIFEST)
                return {batch.name: batch.sha256 for batch in read_snapshot(folder)}
            except (NoSuchObject, UserError):
                return None

    def versions_that_learnt(self, batches: "Collection[str]") -> "Iterator[tuple[ModelVersion, bool]]":
        """Yield each version whose data held one of some batches, and whether that is known.

        It is not where the snapshot that it was trained on is gone, or unknown.
        """
        for version in self.registry.versions(self.group):
            held = self.batches(version.metadata["dataset"]) if "dataset" in version.metadata else None
            if held is None or not set(batches).isdisjoint(held):
                yield version, held is not None


def open_registry(environment: str, region: str | None, home: Path) -> OpenedRegistry:
    """Open the registry of local, dev or prod; `home` is that of local, the region that of the others."""
    from pipelines.storage.folder import FolderObjects

    if environment != LOCAL:
        from pipelines.aws.session import open_environment

        return registry_of(open_environment(environment, region))
    settings = Settings()
    data = FolderObjects(home / "store" / settings.bucket, settings.bucket)
    return OpenedRegistry(MlflowRegistry(home), settings.model_package_group, data)


def registry_of(deployment: "Deployment") -> OpenedRegistry:
    """Open the registry of an environment in AWS; who decides is asked when somebody does."""
    from pipelines.registry.sagemaker_registry import SageMakerRegistry
    from pipelines.storage.s3 import S3Objects

    environment, s3 = deployment.environment, deployment.client("s3")
    registry = SageMakerRegistry(
        deployment.client("sagemaker"),
        S3Objects(s3, environment.artifact_bucket),
        environment,
        identity=lambda: deployment.identity,
    )
    data = S3Objects(s3, environment.data_bucket)
    return OpenedRegistry(registry, environment.model_package_group, data)
