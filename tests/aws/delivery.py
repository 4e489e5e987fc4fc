"""EventBridge and its Scheduler: targets that moto does not know, and a clock that a test advances."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

from moto.awslambda.models import lambda_backends
from moto.cloudwatch.models import cloudwatch_backends
from moto.events import models as events
from moto.kms.models import kms_backends
from moto.scheduler.models import scheduler_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from tests.aws.functions import Functions, send
from tests.aws.permissions import Request, refusal_of_service


@contextmanager
def taught_events(functions: Functions) -> Iterator[None]:
    """Let rules reach functions and topics; what a rule may not call, or does not find, goes to its own dead letters.

    Rules that match are counted as CloudWatch does. An error of a function is Lambda's business, not the rule's.
    """

    def send_to_targets(rule: Any, event: Mapping[str, Any], **_: Any) -> None:
        if rule.state != "ENABLED" or not rule.event_pattern.matches_event(event):
            return
        cloudwatch_backends[rule.account_id][rule.region_name].put_metric_data("AWS/Events", [_triggered(rule.name)])
        for target in rule.targets:
            try:
                _deliver(functions, rule.arn, target, event)
            except LookupError:
                queue = target["DeadLetterConfig"]["Arn"]
                if not _refusals(queue, rule.arn):  # else it is lost, as it is in AWS
                    send(queue, event)

    with mock.patch.object(events.Rule, "send_to_targets", send_to_targets):
        yield


def emit(kind: str, detail: Mapping[str, Any], *, account: str, region: str) -> None:
    """Let SageMaker tell EventBridge something."""
    entry = {"Source": "aws.sagemaker", "DetailType": kind, "Detail": json.dumps(detail, default=str)}
    events.events_backends[account][region].put_events([entry])


def fire(functions: Functions, name: str, *, account: str, region: str) -> bool:
    """Let it be the hour of a schedule; returns False if it is off."""
    schedule = scheduler_backends[account][region].get_schedule("default", name)
    if schedule.state == "ENABLED":
        functions.deliver(schedule.target["Arn"], json.loads(schedule.target["Input"]))
    return schedule.state == "ENABLED"


def _deliver(functions: Functions, rule: str, target: Mapping[str, Any], event: Mapping[str, Any]) -> None:
    _, _, service, region, account, *rest = target["Arn"].split(":")
    if service == "lambda":
        function = lambda_backends[account][region]._lambdas.get_function_by_name_or_arn_with_qualifier(rest[-1])
        if not any(_lets(statement, rule) for statement in function.policy.statements):
            raise PermissionLookupError(target["Arn"])
        functions.deliver(target["Arn"], event)
    elif service == "sns":
        if refused := _refusals(target["Arn"], rule):
            raise PermissionLookupError(refused)
        message = _transformed(event, target.get("InputTransformer"))
        sns_backends[account][region].publish(message, arn=target["Arn"])
    else:
        raise NotImplementedError(target["Arn"])


class PermissionLookupError(LookupError):
    """A function, topic or key has no statement that lets a rule use it."""


def _refusals(arn: str, rule: str) -> list[str]:
    """Return what EventBridge may not do of all that putting a message into a topic or a queue takes.

    A queue's policy hears which rule it is. A topic's and a key's hear nothing: "not supported for
    EventBridge-to-encrypted topics" (SNS guide), "You can't use Condition blocks in Amazon SNS topic policies"
    (EventBridge guide).
    """
    _, _, service, region, account, name = arn.split(":")
    if service == "sns":
        topic = sns_backends[account][region].topics[arn]
        asked, policy, key_id = Request("sns:Publish", arn), topic.policy, topic.kms_master_key_id
    else:
        queue = sqs_backends[account][region].queues[name]
        asked, key_id = Request("sqs:SendMessage", arn, {"aws:SourceArn": rule}), queue.kms_master_key_id
        policy = queue.policy
    key = kms_backends[account][region].describe_key(key_id)
    uses = [(Request(f"kms:{action}", key.arn), key.policy) for action in ("Decrypt", "GenerateDataKey")]
    found = [refusal_of_service("events.amazonaws.com", *ask) for ask in [(asked, policy), *uses]]
    return [reason for reason in found if reason]


def _lets(statement: Mapping[str, Any], rule: str) -> bool:
    return (
        statement["Principal"] == {"Service": "events.amazonaws.com"}
        and statement["Action"] == "lambda:InvokeFunction"
        and statement["Condition"]["ArnLike"]["AWS:SourceArn"] == rule
    )


def _transformed(event: Mapping[str, Any], transformer: Mapping[str, Any] | None) -> str:
    if not transformer:
        return json.dumps(event, default=str)
    values = {}
    for name, path in transformer["InputPathsMap"].items():
        value: Any = event
        for part in path.removeprefix("$.").split("."):
            value = value[part]
        values[name] = value
    return re.sub(r"<(\w+)>", lambda match: str(values[match[1]]), transformer["InputTemplate"])


def _triggered(rule: str) -> dict[str, Any]:
    return {"MetricName": "TriggeredRules", "Value": 1, "Dimensions": [{"Name": "RuleName", "Value": rule}]}
