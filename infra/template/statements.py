"""Statements of IAM policies, written the way they are read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aws_cdk import aws_iam as iam

from pipelines.environment import Environment

Conditions = Mapping[str, Mapping[str, Any]]


def allow(
    sid: str, actions: str, resources: Iterable[str], conditions: Conditions | None = None, *, service: str = ""
) -> Any:
    """`actions` are of one service: `"s3:GetObject PutObject"`. With `service` it is of a resource's own policy."""
    statement = _statement(iam.Effect.ALLOW, sid, actions, resources, conditions)
    if service:
        statement.add_service_principal(f"{service}.amazonaws.com")
    return statement


def deny(
    sid: str, actions: str, resources: Iterable[str], conditions: Conditions | None = None, but: Iterable[str] = ()
) -> Any:
    """Return what nobody may do: a statement of a resource's policy, for every principal.

    With `but` it is about everything else that the resource holds, in the place of `resources`.
    """
    exempt = list(but)
    statement = _statement(iam.Effect.DENY, sid, actions, [] if exempt else resources, conditions)
    if exempt:
        statement.add_not_resources(*exempt)
    statement.add_any_principal()
    return statement


def _statement(effect: Any, sid: str, actions: str, resources: Iterable[str], conditions: Conditions | None) -> Any:
    service, _, names = actions.partition(":")
    return iam.PolicyStatement(
        sid=sid,
        effect=effect,
        actions=[f"{service}:{name}" for name in names.split()],
        resources=sorted(resources),
        conditions=dict(conditions or {}),
    )


def objects(environment: Environment, locations: Iterable[str]) -> list[str]:
    """Return the ARNs of `<bucket>/<key>`s."""
    return [f"arn:{environment.partition}:s3:::{location}" for location in locations]


def listing(
    environment: Environment, locations: Iterable[str], *, action: str = "ListBucket", sid: str = ""
) -> list[Any]:
    """Allow to list what lies under the prefixes of `<bucket>/<key>`s, a statement for each bucket."""
    prefixes: dict[str, set[str]] = {}
    for location in locations:
        bucket, _, key = location.partition("/")
        folder = key.removesuffix("*").rstrip("/")
        prefixes.setdefault(bucket, set()).update({folder, key} if folder else {"", "*"})
    found = []
    for bucket, wanted in sorted(prefixes.items()):
        duty = bucket.removeprefix(f"{environment.project}-").partition("-")[0]
        condition = {"StringLikeIfExists": {"s3:prefix": sorted(wanted)}}
        name = f"{action.replace('Bucket', '')}{duty.capitalize()}{sid}"
        found.append(allow(name, f"s3:{action}", objects(environment, [bucket]), condition))
    return found


def reading(environment: Environment, locations: Sequence[str]) -> list[Any]:
    return [allow("Read", "s3:GetObject", objects(environment, locations)), *listing(environment, locations)]


def writing(environment: Environment, locations: Iterable[str]) -> Any:
    return allow("Write", "s3:PutObject AbortMultipartUpload", objects(environment, locations))


def through_s3(environment: Environment, key_arn: str) -> Any:
    """Allow to use the key of the buckets, by S3 and in no other way."""
    return allow(
        "KeyOfBuckets",
        "kms:Decrypt GenerateDataKey",
        [key_arn],
        {"StringEquals": {"kms:ViaService": f"s3.{environment.region}.amazonaws.com"}},
    )


def service_role(
    scope: Any,
    environment: Environment,
    duty: str,
    statements: Iterable[Any],
    *,
    service: str,
    what: str,
    source: str = "",
) -> Any:
    """Return a role that may do a duty, and that a service takes on for this account (or an ARN `source`) alone."""
    conditions: dict[str, dict[str, str]] = {"StringEquals": {"aws:SourceAccount": environment.account}}
    if source:
        conditions["ArnLike"] = {"aws:SourceArn": source}
    principal = iam.ServicePrincipal(f"{service}.amazonaws.com", conditions=conditions)
    role = iam.Role(scope, duty.capitalize(), role_name=environment.role(duty), description=what, assumed_by=principal)
    grant(role, statements)
    return role


def grant(role: Any, statements: Iterable[Any]) -> None:
    """Give a role exactly these statements, as one inline policy."""
    iam.Policy(role, "Duty", roles=[role], statements=list(statements))


def after_grant(resource: Any, role: Any) -> None:
    """Let nothing work under a role before it has what it was granted."""
    resource.node.add_dependency(role.node.find_child("Duty"))
