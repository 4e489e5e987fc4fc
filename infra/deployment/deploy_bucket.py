"""The bucket of templates that are too large to be sent with a request: private, encrypted, over TLS only."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pipelines.aws.session import aws_errors
from pipelines.environment import Environment

# CloudFormation takes no more with a request itself.
INLINE_BYTES = 51_200
_DAYS_KEPT = 30


def source_of(template: Mapping[str, Any], name: str, environment: Environment, s3: Any) -> dict[str, str]:
    """Return how to name a template to CloudFormation: itself, or where it was uploaded to. `s3` is boto3's client."""
    body = json.dumps(template, separators=(",", ":"), sort_keys=True)
    if len(body.encode()) <= INLINE_BYTES:
        return {"TemplateBody": body}
    bucket = environment.deploy_bucket
    key = f"templates/{name}/{hashlib.sha256(body.encode()).hexdigest()}.json"
    with aws_errors(f"upload a template to {bucket}"):
        _ensure(s3, environment)
        # Names of buckets are the world's: only one that is ours gets what we deploy.
        s3.put_object(Bucket=bucket, Key=key, Body=body.encode(), ExpectedBucketOwner=environment.account)
    suffix = "amazonaws.com.cn" if environment.partition == "aws-cn" else "amazonaws.com"
    return {"TemplateURL": f"https://{bucket}.s3.{environment.region}.{suffix}/{key}"}


def _ensure(s3: Any, environment: Environment) -> None:
    """Make the bucket, or put it right: each setting is written anew, so that a half-made one is completed."""
    bucket, owner = environment.deploy_bucket, {"ExpectedBucketOwner": environment.account}
    location = {"CreateBucketConfiguration": {"LocationConstraint": environment.region}}
    elsewhere = {} if environment.region == "us-east-1" else location
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=bucket, ObjectOwnership="BucketOwnerEnforced", **elsewhere)
    private = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(private, True), **owner)
    by_default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [by_default]}, **owner)
    ends = {
        "ID": "templates",
        "Status": "Enabled",
        "Filter": {"Prefix": "templates/"},
        "Expiration": {"Days": _DAYS_KEPT},
    }
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [ends]}, **owner)
    arn = f"arn:{environment.partition}:s3:::{bucket}"
    over_tls_only = {
        "Sid": "OverTlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    policy = {"Version": "2012-10-17", "Statement": [over_tls_only]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy), **owner)
