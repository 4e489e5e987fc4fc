"""A SageMaker registry that a test can fill as the pipeline's RegisterModel step does in AWS."""

import hashlib
from pathlib import Path
from typing import Any

from pipelines.registry.protocol import ModelVersion
from pipelines.registry.requests import ARCHIVE_SHA256
from pipelines.registry.sagemaker_registry import SageMakerRegistry


class FilledRegistry(SageMakerRegistry):
    def register(self, request: dict[str, Any], archive: Path) -> ModelVersion:
        """Put the archive where the conversion puts it, and make the package that the step asks for."""
        group, digest = request["ModelPackageGroupName"], hashlib.sha256(archive.read_bytes()).hexdigest()
        uri = self._artifacts.uri(f"runs/{digest}/model.tar.gz")
        self._artifacts.upload(archive, f"runs/{digest}/model.tar.gz")
        try:
            self._client.describe_model_package_group(ModelPackageGroupName=group)
        except self._client.exceptions.ClientError:
            self._client.create_model_package_group(ModelPackageGroupName=group)
        specification = request.get("InferenceSpecification") or {"Containers": [{}]}
        made = self._client.create_model_package(
            **request
            | {
                "ModelApprovalStatus": "PendingManualApproval",
                "InferenceSpecification": specification
                | {"Containers": [one | {"ModelDataUrl": uri} for one in specification["Containers"]]},
                "CustomerMetadataProperties": request["CustomerMetadataProperties"] | {ARCHIVE_SHA256: digest},
            }
        )
        return self.get(group, int(made["ModelPackageArn"].rpartition("/")[2]))
