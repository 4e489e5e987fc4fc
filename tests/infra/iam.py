"""A reader of policies in templates: intrinsic functions become text, and permissions can be asked for."""

import fnmatch
from collections.abc import Iterator, Mapping
from typing import Any


def text(value: Any) -> str:
    """Return a value with references written as <Name> and <Name.Attribute>."""
    if isinstance(value, str):
        return value
    kind, argument = next(iter(value.items()))
    if kind == "Ref":
        return f"<{argument}>"
    if kind == "Fn::GetAtt":
        return f"<{'.'.join(argument)}>"
    if kind == "Fn::Join":
        return argument[0].join(text(part) for part in argument[1])
    raise ValueError(f"{value} is not read here")


def many(value: Any) -> list[str]:
    return [text(item) for item in (value if isinstance(value, list) else [value])]


def statements_of(resources: Mapping[str, Any], duty: str) -> list[Mapping[str, Any]]:
    """Return the statements of a role's policies; `duty` is the end of the role's name."""
    logical = next(
        name
        for name, r in resources.items()
        if r["Type"] == "AWS::IAM::Role" and r["Properties"].get("RoleName", "").endswith(f"-{duty}")
    )
    found = [
        statement
        for r in resources.values()
        if r["Type"] == "AWS::IAM::Policy" and {"Ref": logical} in r["Properties"]["Roles"]
        for statement in r["Properties"]["PolicyDocument"]["Statement"]
    ]
    assert found, f"{duty} has no policy"
    return found


def allowing(statements: list[Mapping[str, Any]], action: str, resource: str) -> list[Mapping[str, Any]]:
    """Return the statements that allow an action on a resource, conditions apart."""
    return [
        s
        for s in statements
        if s["Effect"] == "Allow"
        and any(fnmatch.fnmatchcase(action, pattern) for pattern in many(s["Action"]))
        and any(fnmatch.fnmatchcase(resource, pattern) for pattern in many(s["Resource"]))
    ]


def every_policy(resources: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (logical id, policy document) of identity, trust and resource policies alike."""
    for name, r in resources.items():
        properties = r["Properties"]
        for field in ("PolicyDocument", "AssumeRolePolicyDocument", "KeyPolicy", "RepositoryPolicyText"):
            if field in properties:
                yield f"{name}.{field}", properties[field]
