"""Stacks of CloudFormation as they are in AWS: their state, what happens to them, and why something failed."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.aws.session import aws_errors
from steps.core.common.errors import UserError

Tell = Callable[[str], None]
Sleep = Callable[[float], None]

_POLL_SECONDS = 3.0
_STACK = "AWS::CloudFormation::Stack"
# A resource that failed only because another had.
_FOLLOWING = re.compile(r"cancell?ed", re.IGNORECASE)
_WRAPPED = re.compile(
    r'^Resource handler returned message: "(?P<said>.*)" \(RequestToken: .*HandlerErrorCode: (\w+)\)$'
)


@dataclass(frozen=True, slots=True)
class StackState:
    """`id` stays valid when the stack is gone, its name does not."""

    name: str
    id: str
    status: str
    is_protected: bool = False

    @property
    def is_moving(self) -> bool:
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"


class Stacks:
    """`client` is boto3's of CloudFormation; `tell` hears of each thing that is made, changed or removed."""

    def __init__(self, client: Any, tell: Tell, sleep: Sleep = time.sleep) -> None:
        self.client, self.tell, self.pause = client, tell, sleep

    def state(self, name: str) -> StackState | None:
        """Return how a stack is, by name or id, None if there is none."""
        from botocore.exceptions import ClientError

        with aws_errors(f"look at the stack {name}"):
            try:
                found = self.client.describe_stacks(StackName=name)["Stacks"][0]
            except ClientError as error:
                if "does not exist" in str(error):
                    return None
                raise
        protected = found.get("EnableTerminationProtection") is True
        return StackState(str(found["StackName"]), str(found["StackId"]), str(found["StackStatus"]), protected)

    def template(self, name: str) -> Mapping[str, Any]:
        """Return the template of a stack; nothing if there is none, or if it never came to be."""
        state = self.state(name)
        if state is None or state.status in ("REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE"):
            return {}
        with aws_errors(f"read the template of the stack {name}"):
            body = self.client.get_template(StackName=name)["TemplateBody"]
        return dict(json.loads(body) if isinstance(body, str) else body)

    def follow(self, stack: StackState, seen: set[str], what: str) -> str:
        """Tell what happens to a stack until nothing does any more, and return its state then.

        `seen` are the events of before. Raises UserError with the first cause if it failed; that something could not
        be cleared away afterwards is told, and is no failure.
        """
        failed: list[Mapping[str, Any]] = []
        has_begun = False
        while True:
            now = self.state(stack.id)
            for event in reversed(list(self.events(stack.id, seen))):
                seen.add(str(event["EventId"]))
                is_stack = event["ResourceType"] == _STACK
                has_begun = has_begun or is_stack
                happened = event["ResourceStatus"].lower().replace("_", " ")
                name = event["StackName"] if is_stack else event["LogicalResourceId"]
                self.tell(f"  {happened:<28} {event['ResourceType']} {name}")
                if event["ResourceStatus"].endswith("_FAILED"):
                    failed.append(event)
            status = now.status if now else "DELETE_COMPLETE"
            # For a moment the state may still be that of before.
            if status == "DELETE_COMPLETE" or (has_begun and now and not now.is_moving):
                break
            self.pause(_POLL_SECONDS)
        if "ROLLBACK" in status or status.endswith("_FAILED"):
            after = "mend that, and try again"
            if status.endswith("ROLLBACK_FAILED"):
                after = (
                    f"the way back failed as well: look at {stack.name} in CloudFormation and let its rollback continue"
                )
            elif "ROLLBACK" in status:
                after = "everything was put back as it was; mend that, and deploy again"
            raise UserError(f"cannot {what} the stack {stack.name}: {_cause(failed, status)}; {after}")
        return status

    def events(self, stack: str, seen: set[str]) -> Iterator[Mapping[str, Any]]:
        """Yield the events that are not in `seen`, the newest first."""
        with aws_errors(f"read what happens to the stack {stack}"):
            for page in self.client.get_paginator("describe_stack_events").paginate(StackName=stack):
                for event in page["StackEvents"]:
                    if event["EventId"] in seen:
                        return
                    yield event

    def seen(self, stack: StackState) -> set[str]:
        """Return the events that there are."""
        return {str(event["EventId"]) for event in self.events(stack.id, set())}

    def delete(self, stack: StackState) -> None:
        """Delete a stack and wait until it is gone."""
        seen = self.seen(stack)
        with aws_errors(f"delete the stack {stack.name}"):
            self.client.delete_stack(StackName=stack.id)
        self.follow(stack, seen, "delete")

    def protect(self, stack: StackState, *, protected: bool) -> None:
        """Let a stack be deleted, or no longer."""
        if stack.is_protected != protected:
            with aws_errors(f"change the protection of the stack {stack.name}"):
                self.client.update_termination_protection(StackName=stack.name, EnableTerminationProtection=protected)


def _cause(failed: list[Mapping[str, Any]], status: str) -> str:
    """Return why, in AWS's words without their wrapping: of the first that failed for a reason of its own."""
    reasons = [(event, str(event.get("ResourceStatusReason") or "")) for event in failed]
    own = [(event, reason) for event, reason in reasons if not _FOLLOWING.search(reason)] or reasons
    if not own:
        return f"it ended as {status}"
    event, reason = own[0]
    wrapped = _WRAPPED.match(reason)
    said = " ".join((wrapped["said"] if wrapped else reason).split()).rstrip(".")
    name = event.get("PhysicalResourceId") or event["LogicalResourceId"]
    return f"{event['LogicalResourceId']} ({event['ResourceType']}, {name}): {said or event['ResourceStatus']}"
