"""The KMS keys: of the data, of what services tell each other, and the one that signs releases."""

from dataclasses import dataclass
from typing import Any

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from pipelines.environment import Environment

# All that the account's administrators need of the signing key: neither Sign, nor grants, which could give it away.
_ADMINISTER = (
    "kms:DescribeKey GetKeyPolicy GetPublicKey ListKeyPolicies ListResourceTags Verify "
    "EnableKey DisableKey PutKeyPolicy TagResource UntagResource UpdateKeyDescription CreateAlias DeleteAlias "
    "UpdateAlias ScheduleKeyDeletion CancelKeyDeletion"
)
_TELLING = ("cloudwatch", "events", "budgets")


@dataclass(frozen=True, slots=True)
class Keys:
    data: Any
    operations: Any
    signing: Any


def source_of(service: str, environment: Environment) -> dict[str, Any]:
    """Return the condition that a service acts for this account, in the policy of a key or a topic.

    EventBridge tells neither of them whom it acts for: with a condition neither an alert nor a dead letter arrives.
    """
    return {} if service == "events" else {"StringEquals": {"aws:SourceAccount": environment.account}}


def kept(environment: Environment) -> Any:
    """Return what becomes of things with contents when their stack goes: prod keeps them, dev does not.

    What a failed first deployment has made is never kept: its name would stand in the way of the second.
    """
    is_prod = environment.name == "prod"
    return RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if is_prod else RemovalPolicy.DESTROY


def add_keys(stack: Any, environment: Environment) -> Keys:
    scope = Construct(stack, "Keys")
    return Keys(
        data=_key(scope, environment, "Data", "data", "Buckets and volumes of jobs"),
        operations=_operations(scope, environment),
        signing=_signing(scope, environment),
    )


def _key(scope: Any, environment: Environment, name: str, alias: str, what: str) -> Any:
    return kms.Key(
        scope,
        name,
        alias=f"alias/{environment.project}-{alias}",
        description=f"{environment.project}: {what}",
        enable_key_rotation=True,
        pending_window=Duration.days(30),
        removal_policy=kept(environment),
    )


def _operations(scope: Any, environment: Environment) -> Any:
    key = _key(scope, environment, "Operations", "operations", "Alerts, dead letters, logs, functions, the schedule")
    for service in _TELLING:
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid=f"Telling{service.capitalize()}",
                principals=[iam.ServicePrincipal(f"{service}.amazonaws.com")],
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],
                conditions=source_of(service, environment),
            )
        )
    logs = f"arn:{environment.partition}:logs:{environment.region}:{environment.account}:log-group:*"
    key.add_to_resource_policy(
        iam.PolicyStatement(
            sid="Logs",
            principals=[iam.ServicePrincipal(f"logs.{environment.region}.amazonaws.com")],
            actions=["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey"],
            resources=["*"],
            conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": logs}},
        )
    )
    return key


def _signing(scope: Any, environment: Environment) -> Any:
    """Return the key that signs releases. Its own policy is all there is: IAM alone gives nobody the right to sign."""
    service, _, names = _ADMINISTER.partition(":")
    administer = iam.PolicyStatement(
        sid="Administer",
        principals=[iam.AccountRootPrincipal()],
        actions=[f"{service}:{name}" for name in names.split()],
        resources=["*"],
    )
    sign = iam.PolicyStatement(
        sid="Sign",
        principals=[iam.AccountRootPrincipal()],
        actions=["kms:Sign"],
        resources=["*"],
        conditions={
            "ArnEquals": {"aws:PrincipalArn": environment.role_arn("publisher")},
            "StringEquals": {"kms:SigningAlgorithm": "ECDSA_SHA_256"},
        },
    )
    return kms.Key(
        scope,
        "Signing",
        alias=environment.signing_key_alias,
        description=f"{environment.project}: signs releases and channels",
        key_spec=kms.KeySpec.ECC_NIST_P256,
        key_usage=kms.KeyUsage.SIGN_VERIFY,
        pending_window=Duration.days(30),
        removal_policy=kept(environment),
        policy=iam.PolicyDocument(statements=[administer, sign]),
    )
