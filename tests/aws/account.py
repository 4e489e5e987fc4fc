"""What an account allows and holds, as far as moto does not know it: quotas, managed MLflow, images' configurations."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock
from urllib.parse import quote

from botocore.client import BaseClient
from botocore.exceptions import ClientError

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
_AMD64 = {"os": "linux", "architecture": "amd64"}


@dataclass
class Limits:
    """`images` are configurations by digest, where one is not for the platform of jobs and functions."""

    functions: int = 1000
    quotas: dict[str, int] = field(
        default_factory=lambda: {
            "ml.m5.xlarge for processing job usage": 4,
            "ml.m5.2xlarge for training job usage": 2,
        }
    )
    has_mlflow: bool = True
    images: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def answer(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Answer an operation that moto lacks; raises KeyError for any other."""
        if operation == "ListServiceQuotas":
            found = [{"QuotaName": name, "QuotaCode": "L-1", "Value": n} for name, n in self.quotas.items()]
            return {"Quotas": found}
        if operation == "GetAccountSettings":
            return {"AccountLimit": {"ConcurrentExecutions": self.functions}}
        if operation == "ListMlflowApps":
            if not self.has_mlflow:
                raise ClientError({"Error": {"Code": "UnknownOperationException", "Message": ""}}, operation)
            return {"Summaries": []}
        if operation == "GetDownloadUrlForLayer":
            about = json.dumps(self.images.get(parameters["layerDigest"], _AMD64))
            return {"downloadUrl": f"data:application/json,{quote(about)}"}
        raise KeyError(operation)


@contextmanager
def taught_account() -> Iterator[Limits]:
    limits, real = Limits(), BaseClient._make_api_call

    def call(client: Any, operation: str, parameters: Any) -> Any:
        try:
            return limits.answer(operation, parameters)
        except KeyError:
            return real(client, operation, parameters)

    with mock.patch.object(BaseClient, "_make_api_call", call):
        yield limits


def push_image(ecr: Any, repository: str, *, kind: str = DOCKER) -> str:
    """Push an image that holds nothing, and return its digest; its configuration's is the repository's name."""
    layer = f"sha256:{repository}"
    document = {"schemaVersion": 2, "mediaType": kind, "config": {"digest": repository, "size": 1}}
    manifest = json.dumps(document | {"layers": [{"digest": layer}]})
    told = ecr.put_image(
        repositoryName=repository, imageManifest=manifest, imageManifestMediaType=kind, imageTag=kind[-20:]
    )
    return str(told["image"]["imageId"]["imageDigest"])
