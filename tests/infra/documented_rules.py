"""What AWS documents of actions that policies may not narrow, and of services that conditions do not know: a table.

`source` is AWS's page: DG is SageMaker's developer guide, SAR the service authorization reference.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.infra.iam import many

_ROLES = "DG sagemaker-roles, CreateProcessingJob: no conditions or resource filters, or validation fails"
_NO_RESOURCE = "SAR: the action knows no resource"


@dataclass(frozen=True, slots=True)
class Unscoped:
    """Actions that are allowed on every resource or not at all; `keys` are the condition keys that they know."""

    actions: str
    source: str
    keys: frozenset[str] = frozenset()

    def names(self) -> frozenset[str]:
        service, _, names = self.actions.partition(":")
        return frozenset(f"{service}:{name}" for name in names.split())


UNSCOPED = (
    Unscoped(
        "ec2:CreateNetworkInterface CreateNetworkInterfacePermission DeleteNetworkInterface "
        "DeleteNetworkInterfacePermission DescribeNetworkInterfaces DescribeVpcs DescribeDhcpOptions DescribeSubnets "
        "DescribeSecurityGroups",
        _ROLES,
    ),
    Unscoped("ecr:GetAuthorizationToken", _NO_RESOURCE),
    Unscoped("logs:DescribeLogGroups", _NO_RESOURCE),
    Unscoped("cloudwatch:PutMetricData", _NO_RESOURCE, frozenset({"cloudwatch:namespace"})),
)
EVERY_UNSCOPED = frozenset().union(*(rule.names() for rule in UNSCOPED))


@dataclass(frozen=True, slots=True)
class Unconditioned:
    """A service that gives the policies of a kind of resource none of the keys that conditions ask for."""

    service: str
    kind: str
    source: str


UNCONDITIONED = (
    Unconditioned(
        "events.amazonaws.com",
        "AWS::KMS::Key",
        "SNS guide, sns-key-management: not supported for EventBridge-to-encrypted topics",
    ),
    Unconditioned(
        "events.amazonaws.com",
        "AWS::SNS::TopicPolicy",
        "EventBridge guide, eb-use-resource-based: no Condition blocks in topic policies",
    ),
)


def broken(resources: Mapping[str, Any]) -> Iterator[str]:
    """Yield what policies of a template narrow against the table, with the source."""
    for name, resource in resources.items():
        properties = resource["Properties"]
        document = properties.get("PolicyDocument") or properties.get("KeyPolicy") or {}
        for statement in document.get("Statement", []) if isinstance(document, dict) else []:
            if statement["Effect"] == "Allow":
                where = f"{name} {statement.get('Sid', '')}"
                yield from (f"{where}: {source}" for source in _against(resource["Type"], statement))


def _against(kind: str, statement: Mapping[str, Any]) -> Iterator[str]:
    keys = {key for test in statement.get("Condition", {}).values() for key in test}
    principal = statement.get("Principal", {})
    services = many(principal.get("Service", [])) if isinstance(principal, dict) else []
    for rule in UNSCOPED:
        if rule.names() & set(many(statement["Action"])) and (
            many(statement["Resource"]) != ["*"] or not keys <= rule.keys
        ):
            yield rule.source
    yield from (r.source for r in UNCONDITIONED if r.kind == kind and r.service in services and keys)
