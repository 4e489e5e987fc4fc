"""A Lambda function of the control image, with its log, its dead letters and the alarms that belong to them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_lambda as functions
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.template.keys import kept
from infra.template.statements import after_grant
from pipelines.environment import Environment

_RETRIES = 2
_OLDEST_EVENT = 6 * 3600
_FOURTEEN_DAYS = Duration.days(14)


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
        retention_period=_FOURTEEN_DAYS,
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
        maximum_retry_attempts=_RETRIES,
        maximum_event_age_in_seconds=_OLDEST_EVENT,
        destination_config=functions.CfnEventInvokeConfig.DestinationConfigProperty(
            on_failure=functions.CfnEventInvokeConfig.OnFailureProperty(destination=dead_letters.queue_arn)
        ),
    )
    return Function(full, environment.arn("lambda", f"function:{full}"), dead_letters, function)
