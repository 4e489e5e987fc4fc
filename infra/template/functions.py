"""The Lambda functions of the control image, with their logs and dead letters, and the schedule of the starter."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_lambda as functions
from aws_cdk import aws_logs as logs
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.options import Options
from infra.template.keys import kept
from infra.template.statements import after_grant, allow, service_role
from pipelines.environment import Environment


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    arn: str
    dead_letters: Any
    resource: Any


def add_dead_letters(scope: Any, name: str, key: Any) -> Any:
    """Return a queue of what could not be delivered: two weeks for a person to look at it."""
    return sqs.Queue(
        scope,
        "DeadLetters",
        queue_name=f"{name}-dead-letters",
        encryption=sqs.QueueEncryption.KMS,
        encryption_master_key=key,
        enforce_ssl=True,
        retention_period=Duration.days(14),
    )


def add_function(
    stack: Any,
    environment: Environment,
    name: str,
    *,
    image: str,
    role: Any,
    key: Any,
    at_once: int,
    timeout: int,
    memory: int,
    variables: Mapping[str, str],
) -> Function:
    """Add `infra.handlers.<name>`; `timeout` is in seconds, `memory` in MiB, at most `at_once` run at a time."""
    scope = Construct(stack, name.capitalize())
    full = environment.function(name)
    log = logs.LogGroup(
        scope,
        "Log",
        log_group_name=f"/aws/lambda/{full}",
        retention=logs.RetentionDays.ONE_YEAR,
        encryption_key=key,
        removal_policy=kept(environment),
    )
    dead_letters = add_dead_letters(scope, full, key)
    function = functions.CfnFunction(
        scope,
        "Function",
        function_name=full,
        package_type="Image",
        code=functions.CfnFunction.CodeProperty(image_uri=image),
        image_config=functions.CfnFunction.ImageConfigProperty(command=[f"infra.handlers.{name}.handler"]),
        architectures=["x86_64"],
        role=role.role_arn,
        timeout=timeout,
        memory_size=memory,
        ephemeral_storage=functions.CfnFunction.EphemeralStorageProperty(size=2048),
        environment=functions.CfnFunction.EnvironmentProperty(
            variables={"TILEGATE_ENV": environment.name, **variables}
        ),
        kms_key_arn=key.key_arn,
        reserved_concurrent_executions=at_once,
        logging_config=functions.CfnFunction.LoggingConfigProperty(log_group=log.log_group_name),
    )
    after_grant(function, role)
    functions.CfnEventInvokeConfig(
        scope,
        "Delivery",
        function_name=function.ref,
        qualifier="$LATEST",
        maximum_retry_attempts=2,
        maximum_event_age_in_seconds=6 * 3600,
        destination_config=functions.CfnEventInvokeConfig.DestinationConfigProperty(
            on_failure=functions.CfnEventInvokeConfig.OnFailureProperty(destination=dead_letters.queue_arn)
        ),
    )
    return Function(full, environment.arn("lambda", f"function:{full}"), dead_letters, function)


def add_schedule(stack: Any, environment: Environment, options: Options, starter: Function, key: Any) -> None:
    """Add the schedule; dev's is off unless the options say otherwise."""
    scope = Construct(stack, "Nightly")
    group = environment.arn("scheduler", "schedule-group/default")
    statements = [
        allow("CallStarter", "lambda:InvokeFunction", [starter.arn]),
        allow("DeadLetters", "sqs:SendMessage", [starter.dead_letters.queue_arn]),
        allow("KeyOfLetters", "kms:Decrypt GenerateDataKey", [key.key_arn]),
    ]
    what = "Calls the starter every night"
    role = service_role(scope, environment, "scheduler", statements, service="scheduler", what=what, source=group)
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
                maximum_retry_attempts=5, maximum_event_age_in_seconds=4 * 3600
            ),
        ),
    )
    schedule.add_resource_dependency(starter.resource)
    after_grant(schedule, role)
