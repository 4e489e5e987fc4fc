"""The buckets, and what their own policies refuse whatever a role was given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.template.keys import kept
from infra.template.statements import deny
from pipelines.data.withdrawals import WITHDRAWN
from pipelines.definition.settings import CHECKPOINTS
from pipelines.definition.step_table import ROLES
from pipelines.environment import Environment

# The step cache looks back 30 days, and a version has to be there as long as somebody may approve or compare it.
ARTIFACT_LIFE: Mapping[str, int] = {f"{CHECKPOINTS}/": 14, "tuning/": 60, "training/": 400, "runs/": 400}
_KEY_HEADER = "s3:x-amz-server-side-encryption-aws-kms-key-id"
_ENCRYPTION_HEADER = "s3:x-amz-server-side-encryption"
_JOBS = (*ROLES, "pipeline")
_DELETING = "s3:DeleteObject DeleteObjectVersion PutLifecycleConfiguration PutBucketPolicy DeleteBucketPolicy"


@dataclass(frozen=True, slots=True)
class Buckets:
    data: Any
    artifacts: Any
    releases: Any


def add_buckets(stack: Any, environment: Environment, key: Any) -> Buckets:
    scope = Construct(stack, "Buckets")
    make = _Maker(scope, environment, key)
    data = make.bucket("Data", environment.data_bucket, {})
    artifacts = make.bucket("Artifacts", environment.artifact_bucket, ARTIFACT_LIFE)
    releases = make.bucket("Releases", environment.release_bucket, {})
    data.add_to_resource_policy(_nothing_is_deleted_by(environment, data, _JOBS))
    data.add_to_resource_policy(_immutable(environment, data, "catalogue", "datasets", WITHDRAWN))
    data.add_to_resource_policy(_operator_erases(environment, data, "labelled"))
    data.add_to_resource_policy(_appended(data, "WithdrawalsAreAppended", f"{WITHDRAWN}/*"))
    artifacts.add_to_resource_policy(_nothing_is_deleted_by(environment, artifacts, _JOBS))
    artifacts.add_to_resource_policy(_immutable(environment, artifacts, "registry", "ledger", "champions"))
    for statement in _decisions(environment, artifacts):
        artifacts.add_to_resource_policy(statement)
    releases.add_to_resource_policy(_immutable(environment, releases, "releases", "channels"))
    releases.add_to_resource_policy(
        deny(
            "PublisherAlone",
            "s3:PutObject",
            [releases.arn_for_objects("*")],
            {"ArnNotEquals": {"aws:PrincipalArn": environment.role_arn("publisher")}},
        )
    )
    return Buckets(data, artifacts, releases)


class _Maker:
    def __init__(self, scope: Any, environment: Environment, key: Any) -> None:
        self._scope, self._environment, self._key = scope, environment, key
        self._logs = s3.Bucket(
            scope,
            "AccessLogs",
            bucket_name=f"{environment.project}-access-logs-{environment.account}-{environment.region}",
            encryption=s3.BucketEncryption.S3_MANAGED,  # S3 delivers its logs under no other
            lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(365)), _leftovers()],
            versioned=True,
            **self._common,
        )

    @property
    def _common(self) -> Mapping[str, Any]:
        return {
            "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
            "enforce_ssl": True,
            "minimum_tls_version": 1.2,
            "object_ownership": s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            "removal_policy": kept(self._environment),
        }

    def bucket(self, name: str, bucket_name: str, life: Mapping[str, int]) -> Any:
        bucket = s3.Bucket(
            self._scope,
            name,
            bucket_name=bucket_name,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self._key,
            bucket_key_enabled=True,
            versioned=True,
            server_access_logs_bucket=self._logs,
            server_access_logs_prefix=f"{name.lower()}/",
            lifecycle_rules=[
                _leftovers(),
                *(s3.LifecycleRule(prefix=p, expiration=Duration.days(days)) for p, days in life.items()),
            ],
            **self._common,
        )
        written_by_service = [f"{CHECKPOINTS}/*"] if f"{CHECKPOINTS}/" in life else []
        for statement in _only_our_key(bucket, self._key.key_arn, written_by_service):
            bucket.add_to_resource_policy(statement)
        return bucket


def _leftovers() -> Any:
    return s3.LifecycleRule(
        noncurrent_version_expiration=Duration.days(90), abort_incomplete_multipart_upload_after=Duration.days(7)
    )


def _only_our_key(bucket: Any, key_arn: str, unnamed_allowed: Sequence[str]) -> list[Any]:
    """Refuse objects under another key. Without any header the bucket's default encryption takes the right one.

    Of what lies under `unnamed_allowed` SageMaker decides the headers: a checkpoint's request can name no key.
    """
    everything = [bucket.arn_for_objects("*")]
    another = {"StringNotEquals": {_KEY_HEADER: key_arn}, "Null": {_KEY_HEADER: "false"}}
    # An algorithm without a key would be AES256, or KMS with the account's default key.
    unnamed = {"Null": {_ENCRYPTION_HEADER: "false", _KEY_HEADER: "true"}}
    return [
        deny("NoOtherKey", "s3:PutObject", everything, another),
        deny("NoUnnamedKey", "s3:PutObject", everything, unnamed, but=map(bucket.arn_for_objects, unnamed_allowed)),
    ]


def _nothing_is_deleted_by(environment: Environment, bucket: Any, duties: tuple[str, ...]) -> Any:
    roles = [environment.role_arn(duty) for duty in duties]
    return deny(
        "JobsDeleteNothing",
        _DELETING,
        [bucket.bucket_arn, bucket.arn_for_objects("*")],
        {"ArnEquals": {"aws:PrincipalArn": roles}},
    )


def _immutable(environment: Environment, bucket: Any, *prefixes: str) -> Any:
    """No role of the deployment removes what others have to find: people with an administrator's role may."""
    ours = environment.role_arn("*")
    return deny(
        "KeptForEver",
        "s3:DeleteObject DeleteObjectVersion",
        [bucket.arn_for_objects(f"{prefix}/*") for prefix in prefixes],
        {"ArnLike": {"aws:PrincipalArn": ours}},
    )


def _operator_erases(environment: Environment, bucket: Any, prefix: str) -> Any:
    """Refuse to remove what was delivered to all roles of the deployment but the operator's, who erases screenshots."""
    others = {
        "ArnLike": {"aws:PrincipalArn": environment.role_arn("*")},
        "ArnNotEquals": {"aws:PrincipalArn": environment.role_arn("operator")},
    }
    actions = "s3:DeleteObject DeleteObjectVersion"
    return deny("OperatorAloneErases", actions, [bucket.arn_for_objects(f"{prefix}/*")], others)


def _appended(bucket: Any, sid: str, key: str) -> Any:
    """Refuse to write over what is there, by anybody."""
    return deny(sid, "s3:PutObject", [bucket.arn_for_objects(key)], {"Null": {"s3:if-none-match": "true"}})


def _decisions(environment: Environment, bucket: Any) -> list[Any]:
    """Refuse decisions that are not a person's, and a second one of the same number."""
    decisions = [bucket.arn_for_objects("registry/*/decisions/*")]
    approver = {"ArnNotEquals": {"aws:PrincipalArn": environment.role_arn("approver")}}
    return [
        deny("ApproverAlone", "s3:PutObject", decisions, approver),
        _appended(bucket, "DecisionsAreAppended", "registry/*/decisions/*"),
    ]
