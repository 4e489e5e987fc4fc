"""The people who may decide on a version: never one of the roles that make the versions or release them."""

import re

from pipelines.environment import Environment
from pipelines.registry.protocol import RegistryError

APPROVER = "approver"
_ROLE = re.compile(r"arn:[^:]+:(?:sts::\d+:assumed-role/([^/]+)/.+|iam::\d+:role/(?:.*/)?([^/]+))")


def role_of(identity: str) -> str | None:
    """Return the name of the role that an ARN stands for (as STS tells it, or the role's own); None for no role."""
    match = _ROLE.fullmatch(identity)
    return (match[1] or match[2]) if match else None


def check_decider(identity: str, environment: Environment) -> None:
    """Refuse a decision of an unknown caller, or of a role of the deployment that is not the approver's.

    IAM says the same by what it lets each role write; this says it in a sentence, and also where a policy was widened.
    """
    wanted = f"assume {environment.role(APPROVER)}, or sign in as a person who may"
    if not identity:
        raise RegistryError(f"nobody knows who decides, so nothing is decided: {wanted}")
    role = role_of(identity)
    if role and role.startswith(f"{environment.project}-") and role != environment.role(APPROVER):
        raise RegistryError(
            f"the role {role} may not approve or reject models: those who make and release versions do not decide on "
            f"them; {wanted}"
        )
