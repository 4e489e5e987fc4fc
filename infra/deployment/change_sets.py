"""A stack brought to a template: a change set tells what would change, and what is lost, before anything does."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from infra.deployment.stacks_in_aws import Stacks, StackState
from pipelines.aws.session import aws_errors
from pipelines.environment import Environment
from steps.core.common.errors import UserError

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
_UNCHANGED = ("didn't contain changes", "No updates are to be performed")
_POLL_SECONDS = 2.0
# CloudFormation takes no more with a request itself.
_INLINE_BYTES = 51_200
_DAYS_KEPT = 30
# Why a stack in a state cannot be changed.
_STUCK = {
    "UPDATE_ROLLBACK_FAILED": "hangs in a failed way back ({0}): let its rollback continue in CloudFormation (`aws "
    "cloudformation continue-update-rollback --stack-name {1}`), then deploy again",
    **dict.fromkeys(
        ("ROLLBACK_FAILED", "DELETE_FAILED"),
        "could not be removed wholly ({0}): what is left of it may hold data; look at its events in CloudFormation, "
        "delete it there, then deploy again",
    ),
}
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
    def read(cls, item: Mapping[str, Any]) -> "Change":
        """Read an item of a change set's `Changes`."""
        change = item["ResourceChange"]
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


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change set that waits: `changes` is what it would do, `is_new` whether it makes the stack."""

    stack: StackState
    arn: str
    is_new: bool
    changes: tuple[Change, ...]


def source_of(template: Mapping[str, Any], name: str, environment: Environment, s3: Any) -> dict[str, str]:
    """Return how to name a template to CloudFormation: itself, or, if it is too large, where it was uploaded to."""
    body = json.dumps(template, separators=(",", ":"), sort_keys=True)
    if len(body.encode()) <= _INLINE_BYTES:
        return {"TemplateBody": body}
    bucket = environment.deploy_bucket
    key = f"templates/{name}/{hashlib.sha256(body.encode()).hexdigest()}.json"
    with aws_errors(f"upload a template to {bucket}"):
        _ensure_bucket(s3, environment)
        # Names of buckets are the world's: only one that is ours gets what we deploy.
        s3.put_object(Bucket=bucket, Key=key, Body=body.encode(), ExpectedBucketOwner=environment.account)
    suffix = "amazonaws.com.cn" if environment.partition == "aws-cn" else "amazonaws.com"
    return {"TemplateURL": f"https://{bucket}.s3.{environment.region}.{suffix}/{key}"}


def _ensure_bucket(s3: Any, environment: Environment) -> None:
    """Make the bucket of templates: private, encrypted, over TLS only; or put right one that was half made."""
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


def propose(stacks: Stacks, name: str, source: Mapping[str, str], tags: Mapping[str, str]) -> Proposal | None:
    """Return what it takes to bring a stack to a template, None if nothing does.

    `source` is TemplateBody or TemplateURL. Raises UserError if the stack is in no state to be changed.
    """
    state = _ready(stacks, name)
    is_new = state is None or state.status == "REVIEW_IN_PROGRESS"
    called = "tilegate-" + hashlib.sha256(repr(sorted(source.items())).encode()).hexdigest()[:32]
    with aws_errors(f"prepare the stack {name}"):
        if state is not None:
            _forget(stacks.client, name, called)
        made = stacks.client.create_change_set(
            StackName=name,
            ChangeSetName=called,
            ChangeSetType="CREATE" if is_new else "UPDATE",
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Tags=[{"Key": key, "Value": value} for key, value in sorted(tags.items())],
            **source,
        )
    changes = _waited(stacks, str(made["Id"]), name)
    if changes is None:
        return None
    found = stacks.state(name)
    if found is None:
        raise UserError(f"the stack {name} was deleted while it was being prepared: deploy again")
    return Proposal(found, str(made["Id"]), is_new, changes)


def discard(stacks: Stacks, proposal: Proposal) -> None:
    """Take a proposal back, and the empty stack that one of a new stack has made."""
    with aws_errors(f"discard the change set of {proposal.stack.name}"):
        stacks.client.delete_change_set(ChangeSetName=proposal.arn)
    if proposal.is_new:
        Stacks(stacks.client, lambda _: None, stacks.pause).delete(proposal.stack)


def carry_out(stacks: Stacks, proposal: Proposal) -> None:
    """Carry a proposal out and wait for its end; raises UserError that says why it failed."""
    seen = stacks.seen(proposal.stack)
    what = "create" if proposal.is_new else "update"
    with aws_errors(f"{what} the stack {proposal.stack.name}"):
        stacks.client.execute_change_set(ChangeSetName=proposal.arn)
    stacks.follow(proposal.stack, seen, what)


def _ready(stacks: Stacks, name: str) -> StackState | None:
    state = stacks.state(name)
    if state and state.is_moving:
        raise UserError(f"the stack {name} is being changed by somebody ({state.status}): wait for that to end")
    if state and state.status in _STUCK:
        raise UserError(f"the stack {name} {_STUCK[state.status].format(state.status, name)}")
    if state and state.status == "ROLLBACK_COMPLETE":  # it can only be deleted
        stacks.tell(f"The stack {name} is what a failed first attempt left, and is empty: it is removed first.")
        stacks.delete(state)
        return None
    return state


def _forget(client: Any, stack: str, called: str) -> None:
    """Remove the change set of an earlier attempt with the same template."""
    for page in client.get_paginator("list_change_sets").paginate(StackName=stack):
        for found in page["Summaries"]:
            if found["ChangeSetName"] == called:
                client.delete_change_set(ChangeSetName=found["ChangeSetId"])


def _waited(stacks: Stacks, arn: str, name: str) -> tuple[Change, ...] | None:
    """Return the changes of a change set once it is there; a change set without any is removed."""
    paginator = stacks.client.get_paginator("describe_change_set")
    while True:
        with aws_errors(f"look at the change set of {name}"):
            pages = list(paginator.paginate(ChangeSetName=arn))
        if pages[0]["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            break
        stacks.pause(_POLL_SECONDS)
    if pages[0]["Status"] == "FAILED":
        reason = str(pages[0].get("StatusReason") or "")
        with aws_errors(f"discard the change set of {name}"):
            stacks.client.delete_change_set(ChangeSetName=arn)
        if any(words in reason for words in _UNCHANGED):
            return None
        raise UserError(f"CloudFormation refuses the template of {name}: {reason}")
    return tuple(Change.read(item) for page in pages for item in page.get("Changes", ()))
