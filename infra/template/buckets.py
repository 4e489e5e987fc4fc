"""The buckets, and what their own policies refuse whatever a role was given."""

from collections.abc import Mapping, Sequence
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
_DELETING = "s3:DeleteObject DeleteObjectVersion"
_CHANGING = f"{_DELETING} PutLifecycleConfiguration PutBucketPolicy DeleteBucketPolicy"
_DECISIONS = "registry/*/decisions/*"


def add_buckets(stack: Any, environment: Environment, key: Any) -> Any:
    """Add the buckets, and return the one of artefacts."""
    scope = Construct(stack, "Buckets")
    common: dict[str, Any] = {
        "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
        "enforce_ssl": True,
        "minimum_tls_version": 1.2,
        "object_ownership": s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        "removal_policy": kept(environment),
        "versioned": True,
    }
    leftovers = s3.LifecycleRule(
        noncurrent_version_expiration=Duration.days(90), abort_incomplete_multipart_upload_after=Duration.days(7)
    )
    logs = s3.Bucket(
        scope,
        "AccessLogs",
        bucket_name=environment.access_log_bucket,
        encryption=s3.BucketEncryption.S3_MANAGED,  # S3 delivers its logs under no other
        lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(365)), leftovers],
        **common,
    )

    def add(name: str, bucket_name: str, life: Mapping[str, int] | None = None) -> Any:
        ends = [s3.LifecycleRule(prefix=p, expiration=Duration.days(days)) for p, days in (life or {}).items()]
        return s3.Bucket(
            scope,
            name,
            bucket_name=bucket_name,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            server_access_logs_bucket=logs,
            server_access_logs_prefix=f"{name.lower()}/",
            lifecycle_rules=[leftovers, *ends],
            **common,
        )

    data = add("Data", environment.data_bucket)
    artifacts = add("Artifacts", environment.artifact_bucket, ARTIFACT_LIFE)
    releases = add("Releases", environment.release_bucket)
    refused = {
        data: [
            *_only_our_key(data, key.key_arn),
            _nothing_is_deleted_by_jobs(environment, data),
            _immutable(environment, data, "catalogue", "datasets", WITHDRAWN),
            _operator_erases(environment, data, "labelled"),
            _appended(data, "WithdrawalsAreAppended", f"{WITHDRAWN}/*"),
        ],
        artifacts: [
            # Of a checkpoint's headers SageMaker decides: a request can name no key for it.
            *_only_our_key(artifacts, key.key_arn, unnamed_allowed=[f"{CHECKPOINTS}/*"]),
            _nothing_is_deleted_by_jobs(environment, artifacts),
            _immutable(environment, artifacts, "registry", "ledger", "champions"),
            _written_by(environment, artifacts, "ApproverAlone", "approver", _DECISIONS),
            _appended(artifacts, "DecisionsAreAppended", _DECISIONS),
        ],
        releases: [
            *_only_our_key(releases, key.key_arn),
            _immutable(environment, releases, "releases", "channels"),
            _written_by(environment, releases, "PublisherAlone", "publisher", "*"),
        ],
    }
    for bucket, statements in refused.items():
        for statement in statements:
            bucket.add_to_resource_policy(statement)
    return artifacts


def _only_our_key(bucket: Any, key_arn: str, unnamed_allowed: Sequence[str] = ()) -> list[Any]:
    """Refuse objects under another key. Without any header the bucket's default encryption takes the right one."""
    everything = [bucket.arn_for_objects("*")]
    another = {"StringNotEquals": {_KEY_HEADER: key_arn}, "Null": {_KEY_HEADER: "false"}}
    # An algorithm without a key would be AES256, or KMS with the account's default key.
    unnamed = {"Null": {_ENCRYPTION_HEADER: "false", _KEY_HEADER: "true"}}
    return [
        deny("NoOtherKey", "s3:PutObject", everything, another),
        deny("NoUnnamedKey", "s3:PutObject", everything, unnamed, but=map(bucket.arn_for_objects, unnamed_allowed)),
    ]


def _nothing_is_deleted_by_jobs(environment: Environment, bucket: Any) -> Any:
    jobs = {"ArnEquals": {"aws:PrincipalArn": [environment.role_arn(duty) for duty in (*ROLES, "pipeline")]}}
    return deny("JobsDeleteNothing", _CHANGING, [bucket.bucket_arn, bucket.arn_for_objects("*")], jobs)


def _immutable(environment: Environment, bucket: Any, *prefixes: str) -> Any:
    """No role of the deployment removes what others have to find: people with an administrator's role may."""
    ours = {"ArnLike": {"aws:PrincipalArn": environment.role_arn("*")}}
    return deny("KeptForEver", _DELETING, [bucket.arn_for_objects(f"{prefix}/*") for prefix in prefixes], ours)


def _operator_erases(environment: Environment, bucket: Any, prefix: str) -> Any:
    """Refuse to remove what was delivered to all roles of the deployment but the operator's, who erases screenshots."""
    others = {
        "ArnLike": {"aws:PrincipalArn": environment.role_arn("*")},
        "ArnNotEquals": {"aws:PrincipalArn": environment.role_arn("operator")},
    }
    return deny("OperatorAloneErases", _DELETING, [bucket.arn_for_objects(f"{prefix}/*")], others)


def _appended(bucket: Any, sid: str, key: str) -> Any:
    """Refuse to write over what is there, by anybody."""
    return deny(sid, "s3:PutObject", [bucket.arn_for_objects(key)], {"Null": {"s3:if-none-match": "true"}})


def _written_by(environment: Environment, bucket: Any, sid: str, duty: str, key: str) -> Any:
    """Refuse to write to all but one role."""
    others = {"ArnNotEquals": {"aws:PrincipalArn": environment.role_arn(duty)}}
    return deny(sid, "s3:PutObject", [bucket.arn_for_objects(key)], others)
