"""The nightly schedule, which calls the starter."""

import json
from typing import Any

from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from infra.options import Options
from infra.template.functions import Function
from infra.template.statements import after_grant, allow, grant, service_role
from pipelines.environment import Environment

_RETRIES = 5
_OLDEST_EVENT = 4 * 3600


def add_schedule(stack: Any, environment: Environment, options: Options, starter: Function, key: Any) -> None:
    """Add the schedule; dev's is off unless the options say otherwise."""
    scope = Construct(stack, "Nightly")
    group = environment.arn("scheduler", "schedule-group/default")
    role = service_role(
        scope, environment, "scheduler", service="scheduler", what="Calls the starter every night", source=group
    )
    grant(
        role,
        [
            allow("CallStarter", "lambda:InvokeFunction", [starter.arn]),
            allow("DeadLetters", "sqs:SendMessage", [starter.dead_letters.queue_arn]),
            allow("KeyOfLetters", "kms:Decrypt GenerateDataKey", [key.key_arn]),
        ],
    )
    schedule = scheduler.CfnSchedule(
        scope,
        "Schedule",
        name=environment.schedule,
        description="Asks every night whether there is something new to learn",
        schedule_expression=options.schedule,
        schedule_expression_timezone=options.timezone,
        state="ENABLED" if options.is_scheduled(environment) else "DISABLED",
        flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
        kms_key_arn=key.key_arn,
        target=scheduler.CfnSchedule.TargetProperty(
            arn=starter.arn,
            role_arn=role.role_arn,
            input=json.dumps({"reason": ""}),
            dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=starter.dead_letters.queue_arn),
            retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                maximum_retry_attempts=_RETRIES, maximum_event_age_in_seconds=_OLDEST_EVENT
            ),
        ),
    )
    schedule.add_resource_dependency(starter.resource)
    after_grant(schedule, role)
