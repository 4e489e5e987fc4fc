"""The changes that a change set makes to a stack, and those of them that cannot be taken back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# What holds something that a new one of the same name would not hold.
STATEFUL = (
    "AWS::S3::Bucket",
    "AWS::KMS::Key",
    "AWS::ECR::Repository",
    "AWS::SageMaker::ModelPackageGroup",
    "AWS::SageMaker::MlflowApp",
    "AWS::SageMaker::MlflowTrackingServer",
    "AWS::SQS::Queue",
    "AWS::Logs::LogGroup",
)
_SIGNS = {"Add": "+", "Remove": "-", "Modify": "~"}


@dataclass(frozen=True, slots=True)
class Change:
    """One resource of a change set. `replacement` is CloudFormation's: True, False, Conditional, or "" for new ones."""

    action: str
    name: str
    kind: str
    replacement: str = ""
    policy: str = ""

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> "Change":
        """Read an item of a change set's `Changes`."""
        change = told["ResourceChange"]
        return cls(
            str(change["Action"]),
            str(change.get("PhysicalResourceId") or change["LogicalResourceId"]),
            str(change["ResourceType"]),
            str(change.get("Replacement") or ""),
            str(change.get("PolicyAction") or ""),
        )

    @property
    def is_replacing(self) -> bool:
        """Whether another resource takes its place; where AWS says that it depends, it counts as one that does."""
        return self.action == "Modify" and self.replacement in ("True", "Conditional")

    @property
    def loses(self) -> bool:
        """Whether contents go with it."""
        gone = self.action == "Remove" or self.is_replacing
        return gone and self.kind in STATEFUL and self.policy not in ("Retain", "ReplaceAndRetain")

    def __str__(self) -> str:
        sign = "±" if self.is_replacing else _SIGNS.get(self.action, "?")
        notes = {"True": " (replaced)", "Conditional": " (perhaps replaced)"}.get(self.replacement, "")
        if self.loses:
            notes += " - its contents are lost"
        return f"{sign} {self.kind} {self.name}{notes}"


def in_order(changes: Sequence[Change]) -> list[Change]:
    """Return what is lost first, then what is removed, replaced, changed and added, each by kind and name."""
    ranks = {"Remove": 1, "Modify": 3, "Add": 4}

    def rank(change: Change) -> tuple[int, str, str]:
        number = 0 if change.loses else 2 if change.is_replacing else ranks.get(change.action, 5)
        return number, change.kind, change.name

    return sorted(changes, key=rank)
