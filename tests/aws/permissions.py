"""IAM for who has taken on a role of the deployment: moto enforces nothing, this refuses what the policies refuse.

Looked at are the role's own policies and the policy of a bucket, conditions included, for each call that boto3 makes
in the role's name; behind a bucket's objects its key as well. The other policies of keys leave it to the roles. What a
service does in its own name is asked of the policies of the topic, the queue and the key, which is all that there is.
"""

import fnmatch
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from unittest import mock

from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto.iam.access_control import PermissionResult
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.s3.models import FakeBucket, s3_backends
from moto.sts.models import sts_backends

ACCOUNT = "123456789012"
_FREE = {"sts:GetCallerIdentity"}
_GETS = {"HeadObject", "GetObject", "GetObjectAttributes"}
_PUTS = {"PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"}
_LISTS = {
    "ListObjectsV2": "ListBucket",
    "ListObjects": "ListBucket",
    "HeadBucket": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
}


@dataclass(frozen=True, slots=True)
class Request:
    """`keys` are the condition keys that the service gives."""

    action: str
    resource: str
    keys: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def enforced() -> Iterator[None]:
    """Refuse what a role of the account may not do, as AWS does; whoever has no role may do everything."""
    real = BaseClient._make_api_call

    def call(client, operation, parameters):
        role = _role_of(client)
        if not role:
            return real(client, operation, parameters)
        for request in _requests(client, operation, parameters):
            _check(role, request, operation)
        try:
            return real(client, operation, parameters)
        except ClientError as error:
            if operation in _GETS and error.response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.NOT_FOUND:
                # Whoever may not list a bucket does not hear that an object is missing.
                _check(role, Request("s3:ListBucket", f"arn:aws:s3:::{parameters['Bucket']}"), operation)
            raise

    with (
        mock.patch.object(BaseClient, "_make_api_call", call),
        # moto reads a bucket's policy without its conditions: TLS would always be missing.
        mock.patch.object(FakeBucket, "get_permission", return_value=PermissionResult.NEUTRAL),
    ):
        yield


def _check(role: str, request: Request, operation: str) -> None:
    """Raise what AWS answers to what a role may not do."""
    if reason := refusal(role, request):
        code = "AccessDenied" if request.action.startswith("s3:") else "AccessDeniedException"
        message = f"User: {role} is not authorized to perform: {request.action} on resource: {request.resource}"
        raise ClientError({"Error": {"Code": code, "Message": f"{message} ({reason})"}}, operation)


def refusal(role_arn: str, request: Request) -> str:
    """Return why a role may not do something, "" if it may."""
    keys = {"aws:PrincipalArn": role_arn, "aws:SecureTransport": "true", "s3:TlsVersion": "1.3", **request.keys}
    own = [s for policy in _policies(role_arn) for s in policy["Statement"]]
    theirs = _bucket_statements(request.resource)
    found = [s for s in (*own, *theirs) if _applies(s, request, keys)]
    denied = [s for s in found if s["Effect"] == "Deny"]
    if denied:
        return f"explicit deny {denied[0].get('Sid', '')}"
    return "" if any(s["Effect"] == "Allow" for s in found if s in own) else "no identity-based policy allows it"


def refusal_of_service(service: str, request: Request, policy: str | None) -> str:
    """Return why a service may not do something in its own name, given the policy of what it is done to."""
    keys = {"aws:SecureTransport": "true", **request.keys}
    found = [s for s in json.loads(policy or "{}").get("Statement", []) if _applies(s, request, keys, service)]
    if any(s["Effect"] == "Deny" for s in found):
        return f"{request.action} of {request.resource}: explicit deny"
    return "" if found else f"{request.action} of {request.resource}: no policy allows it to {service}"


def reading(bucket: str, key: str) -> list[Request]:
    """Return what reading an object asks for, its key's part included."""
    return [Request("s3:GetObject", f"arn:aws:s3:::{bucket}/{key}"), *_through_s3(bucket, "kms:Decrypt")]


def writing(bucket: str, key: str, keys: Mapping[str, str] | None = None) -> list[Request]:
    put = Request("s3:PutObject", f"arn:aws:s3:::{bucket}/{key}", keys or {})
    return [put, *_through_s3(bucket, "kms:GenerateDataKey")]


def _role_of(client: Any) -> str:
    credentials, sts = client._request_signer._credentials, sts_backends[ACCOUNT]["aws"]
    taken = sts.get_assumed_role_from_access_key(credentials.access_key) if credentials else None
    return taken.role_arn if taken else ""


def _policies(role_arn: str) -> list[Any]:
    role = iam_backends[ACCOUNT]["aws"].get_role(role_arn.rpartition("/")[2])
    return [json.loads(text) if isinstance(text, str) else text for text in role.policies.values()]


def _bucket_statements(resource: str) -> list[Any]:
    if not resource.startswith("arn:aws:s3:::"):
        return []
    bucket = s3_backends[ACCOUNT]["aws"].buckets.get(resource.split(":::")[1].partition("/")[0])
    return json.loads(bucket.policy)["Statement"] if bucket and bucket.policy else []


def _applies(statement: Mapping[str, Any], request: Request, keys: Mapping[str, str], who: str = "") -> bool:
    return (
        _is_for(statement.get("Principal"), who or keys["aws:PrincipalArn"])
        and any(fnmatch.fnmatchcase(request.action.lower(), pattern.lower()) for pattern in _many(statement["Action"]))
        and ("Resource" not in statement or _like(request.resource, _many(statement["Resource"])))
        and ("NotResource" not in statement or not _like(request.resource, _many(statement["NotResource"])))
        and all(
            _holds(operator, keys.get(key), _many(values))
            for operator, tests in statement.get("Condition", {}).items()
            for key, values in tests.items()
        )
    )


def _is_for(principal: Any, who: str) -> bool:
    """Tell whether a statement is for a role or a service; one of an identity's own policies names none."""
    named = [n for names in principal.values() for n in _many(names)] if isinstance(principal, dict) else [principal]
    return principal is None or bool({"*", who} & set(named))


def _many(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [str(item).lower() if isinstance(item, bool) else str(item) for item in items]


def _like(value: str | None, patterns: list[str]) -> bool:
    return value is not None and any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns)


def _equal(value: str | None, wanted: list[str]) -> bool:
    return value is not None and value in wanted


# A key that a request does not have fulfils no condition but the negated ones.
_CONDITIONS: Mapping[str, Callable[[str | None, list[str]], bool]] = {
    "StringEquals": _equal,
    "StringNotEquals": lambda value, wanted: not _equal(value, wanted),
    "StringLike": _like,
    "StringNotLike": lambda value, wanted: not _like(value, wanted),
    "ArnEquals": _like,
    "ArnLike": _like,
    "ArnNotEquals": lambda value, wanted: not _like(value, wanted),
    "ArnNotLike": lambda value, wanted: not _like(value, wanted),
    "Bool": _equal,
    "Null": lambda value, wanted: wanted == [str(value is None).lower()],
    "NumericLessThan": lambda value, wanted: value is not None and float(value) < float(wanted[0]),
}


def _holds(operator: str, value: str | None, wanted: list[str]) -> bool:
    if operator.endswith("IfExists"):
        return value is None or _CONDITIONS[operator.removesuffix("IfExists")](value, wanted)
    return _CONDITIONS[operator](value, wanted)


def _requests(client: Any, operation: str, p: Mapping[str, Any]) -> list[Request]:
    service = client.meta.service_model.service_name
    if service == "s3":
        return _of_s3(operation, p)
    if f"{service}:{operation}" in _FREE:
        return []
    region = client.meta.region_name
    if service == "sagemaker":
        return [Request(f"sagemaker:{operation}", _of_sagemaker(p, region))]
    if service == "kms":
        keys = {f"kms:{name}": p[name] for name in ("SigningAlgorithm", "MessageType") if name in p}
        return [Request(f"kms:{operation}", kms_backends[ACCOUNT][region].describe_key(p["KeyId"]).arn, keys)]
    if (service, operation) == ("lambda", "Invoke"):
        return [Request("lambda:InvokeFunction", f"arn:aws:lambda:{region}:{ACCOUNT}:function:{p['FunctionName']}")]
    raise NotImplementedError(f"which permission {service} {operation} wants")


def _of_sagemaker(p: Mapping[str, Any], region: str) -> str:
    named = {"PipelineName": "pipeline", "ModelPackageGroupName": "model-package-group"}
    arns = ("PipelineExecutionArn", "ModelPackageArn", "ModelPackageName")
    if arn := next((p[name] for name in arns if name in p), None):
        return arn
    name, kind = next((name, kind) for name, kind in named.items() if name in p)
    return f"arn:aws:sagemaker:{region}:{ACCOUNT}:{kind}/{p[name]}"


def _of_s3(operation: str, p: Mapping[str, Any]) -> list[Request]:
    bucket = p["Bucket"]
    if operation in _GETS:
        first, *others = reading(bucket, p["Key"])
        return [replace(first, action=f"{first.action}Version") if "VersionId" in p else first, *others]
    if operation in _PUTS:
        return writing(bucket, p["Key"], _headers(p))
    if operation == "CopyObject":
        source = p["CopySource"]
        return [*reading(source["Bucket"], source["Key"]), *writing(bucket, p["Key"], _headers(p))]
    if operation == "DeleteObjects":
        keys = [item["Key"] for item in p["Delete"]["Objects"]]
        return [Request("s3:DeleteObject", f"arn:aws:s3:::{bucket}/{key}") for key in keys]
    if operation in _LISTS:
        keys = {"s3:prefix": p["Prefix"]} if "Prefix" in p else {}
        return [Request(f"s3:{_LISTS[operation]}", f"arn:aws:s3:::{bucket}", keys)]
    where = f"{bucket}/{p['Key']}" if "Key" in p else bucket
    version = "Version" if operation == "DeleteObject" and "VersionId" in p else ""
    return [Request(f"s3:{operation}{version}", f"arn:aws:s3:::{where}")]


def _headers(p: Mapping[str, Any]) -> dict[str, str]:
    names = {
        "s3:if-none-match": "IfNoneMatch",
        "s3:x-amz-server-side-encryption": "ServerSideEncryption",
        "s3:x-amz-server-side-encryption-aws-kms-key-id": "SSEKMSKeyId",
    }
    return {key: p[name] for key, name in names.items() if name in p}


def _through_s3(bucket: str, action: str) -> list[Request]:
    """Return what S3 asks of the key under which a bucket encrypts, in the name of the caller."""
    found = s3_backends[ACCOUNT]["aws"].buckets[bucket]
    default = found.encryption["Rule"]["ApplyServerSideEncryptionByDefault"] if found.encryption else {}
    if "KMSMasterKeyID" not in default:
        return []
    return [Request(action, default["KMSMasterKeyID"], {"kms:ViaService": f"s3.{found.region_name}.amazonaws.com"})]
