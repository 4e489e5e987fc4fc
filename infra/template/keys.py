"""The KMS keys: of the data, of what services tell each other, and the one that signs releases."""

from dataclasses import dataclass
from typing import Any

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.template.statements import allow
from pipelines.environment import Environment

# All that the account's administrators need of the signing key: neither Sign, nor grants, which could give it away.
_ADMINISTER = (
    "kms:DescribeKey GetKeyPolicy GetPublicKey ListKeyPolicies ListResourceTags Verify "
    "EnableKey DisableKey PutKeyPolicy TagResource UntagResource UpdateKeyDescription CreateAlias DeleteAlias "
    "UpdateAlias ScheduleKeyDeletion CancelKeyDeletion"
)
_PENDING = Duration.days(30)


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
        data=add_key(scope, environment, "Data", "data", "Buckets and volumes of jobs"),
        operations=_operations(scope, environment),
        signing=_signing(scope, environment),
    )


def add_key(scope: Any, environment: Environment, name: str, alias: str, what: str) -> Any:
    """Add a key that is changed every year."""
    return kms.Key(
        scope,
        name,
        alias=f"alias/{environment.project}-{alias}",
        description=f"{environment.project}: {what}",
        enable_key_rotation=True,
        pending_window=_PENDING,
        removal_policy=kept(environment),
    )


def _operations(scope: Any, environment: Environment) -> Any:
    key = add_key(scope, environment, "Operations", "operations", "Alerts, dead letters, logs, functions, the schedule")
    for service in ("cloudwatch", "events", "budgets"):
        sid, conditions = f"Telling{service.capitalize()}", source_of(service, environment)
        key.add_to_resource_policy(allow(sid, "kms:Decrypt GenerateDataKey", ["*"], conditions, service=service))
    logs = {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": environment.arn("logs", "log-group:*")}}
    actions = "kms:Encrypt Decrypt ReEncryptFrom ReEncryptTo GenerateDataKey"
    key.add_to_resource_policy(allow("Logs", actions, ["*"], logs, service=f"logs.{environment.region}"))
    return key


def _signing(scope: Any, environment: Environment) -> Any:
    """Return the key that signs releases. Its own policy is all there is: IAM alone gives nobody the right to sign."""
    publisher = {
        "ArnEquals": {"aws:PrincipalArn": environment.role_arn("publisher")},
        "StringEquals": {"kms:SigningAlgorithm": "ECDSA_SHA_256"},
    }
    statements = [allow("Administer", _ADMINISTER, ["*"]), allow("Sign", "kms:Sign", ["*"], publisher)]
    for statement in statements:
        statement.add_account_root_principal()
    return kms.Key(
        scope,
        "Signing",
        alias=environment.signing_key_alias,
        description=f"{environment.project}: signs releases and channels",
        key_spec=kms.KeySpec.ECC_NIST_P256,
        key_usage=kms.KeyUsage.SIGN_VERIFY,
        pending_window=_PENDING,
        removal_policy=kept(environment),
        policy=iam.PolicyDocument(statements=statements),
    )
