"""What SageMaker's jobs read and write in the name of their roles, held against what the deployed policies allow."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.definition.rules import violations
from pipelines.executor.files import walk_files
from pipelines.executor.store import LocalStore
from tests.aws.permissions import Request, reading, refusal, writing

# What SageMaker does in the name of a job's role to place it in a network. It wants all of it without conditions and
# for every resource: DG sagemaker-roles, CreateProcessingJob.
_PLACING = (
    *("CreateNetworkInterface", "CreateNetworkInterfacePermission", "DeleteNetworkInterface"),
    *("DeleteNetworkInterfacePermission", "DescribeNetworkInterfaces", "DescribeVpcs", "DescribeDhcpOptions"),
    *("DescribeSubnets", "DescribeSecurityGroups"),
)


def refusals(step: str, arguments: Mapping[str, Any], store: LocalStore) -> list[str]:
    """Return what a step's job would be refused, given its evaluated request and the objects that there are."""
    job = arguments.get("TrainingJobDefinition", arguments)
    requests = [
        *(Request(f"ec2:{action}", "*") for action in _PLACING if any(_of_key(job, "VpcConfig"))),
        *(_of_keys(job)),
        *(request for source in _of_key(job, "S3Input", "S3DataSource") for request in _reading(source, store)),
        *(request for uri in _written(job) for request in writing(*_split(f"{uri}/file"))),
    ]
    told = list(violations({"Name": step, "Type": "Tuning" if job is not arguments else "", "Arguments": arguments}))
    found = ((request, refusal(job["RoleArn"], request)) for request in requests)
    return told + sorted(
        {f"{step}: {request.action} {request.resource}: {reason}" for request, reason in found if reason}
    )


def _reading(source: Mapping[str, Any], store: LocalStore) -> Iterator[Request]:
    uri, path = source["S3Uri"], store.path(source["S3Uri"])
    if source["S3DataType"] == "ManifestFile":
        yield from reading(*_split(uri))
        head, *keys = json.loads(path.read_text())
        for key in keys:
            yield from reading(*_split(f"{head['prefix'].rstrip('/')}/{key}"))
        return
    bucket, key = _split(uri)
    yield Request("s3:ListBucket", f"arn:aws:s3:::{bucket}", {"s3:prefix": key})
    for name in [""] if path.is_file() else [f"/{name}" for name, _ in walk_files(path)]:
        yield from reading(*_split(f"{uri.rstrip('/')}{name}"))


def _of_keys(job: Mapping[str, Any]) -> Iterator[Request]:
    """Yield what a job asks of the keys for its volumes and its outputs."""
    for_aws = {"kms:GrantIsForAWSResource": "true"}
    yield from (Request("kms:CreateGrant", key, for_aws) for key in _of_key(job, "VolumeKmsKeyId"))
    yield from (Request("kms:Encrypt", key) for key in _of_key(job, "KmsKeyId"))


def _written(job: Mapping[str, Any]) -> list[str]:
    outputs = [output["S3Uri"] for output in _of_key(job, "S3Output", "CheckpointConfig")]
    return [*outputs, *_of_key(job, "S3OutputPath")]


def _of_key(value: Any, *names: str) -> Iterator[Any]:
    """Yield every value of a key of these names, at any depth."""
    if isinstance(value, Mapping):
        yield from (found for name, found in value.items() if name in names)
        value = list(value.values())
    for item in value if isinstance(value, list) else []:
        yield from _of_key(item, *names)


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
