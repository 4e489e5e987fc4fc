"""The EventBridge rules: approvals go to the publisher, ends to the recorder, the unwished among them to people."""

from collections.abc import Mapping
from typing import Any

from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as functions
from constructs import Construct

from infra.template.functions import Function
from infra.template.statements import allow
from pipelines.definition.step_table import CONVERT, REJECTIONS
from pipelines.environment import Environment

APPROVED, ENDED, FAILED, REJECTED = "approved", "execution-ended", "execution-failed", "candidate-rejected"
_EXECUTION = "SageMaker Model Building Pipeline Execution Status Change"
_RETRY = events.CfnRule.RetryPolicyProperty(maximum_retry_attempts=8, maximum_event_age_in_seconds=6 * 3600)


def rule_name(environment: Environment, rule: str) -> str:
    return f"{environment.project}-{rule}"


def add_calls(stack: Any, environment: Environment, *, publisher: Function, recorder: Function) -> None:
    """Call the publisher for each version that was approved, and the recorder for each execution that has ended.

    A version that was rejected is nothing to release.
    """
    group = {"ModelPackageGroupName": [environment.model_package_group], "ModelApprovalStatus": ["Approved"]}
    ended = {
        "pipelineArn": [environment.pipeline_arn],
        "currentPipelineExecutionStatus": ["Succeeded", "Failed", "Stopped"],
    }
    for what, name, kind, detail, function in (
        ("Approval", APPROVED, "SageMaker Model Package State Change", group, publisher),
        ("Recording", ENDED, _EXECUTION, ended, recorder),
    ):
        scope = Construct(stack, what)
        rule = _rule(
            scope,
            environment,
            name,
            construct="Rule",
            description=f"Calls {function.name}",
            pattern={"detail-type": [kind], "detail": detail},
            target={"id": "function", "arn": function.arn},
            dead_letters=function.dead_letters,
        )
        functions.CfnPermission(
            scope,
            "MayCall",
            action="lambda:InvokeFunction",
            function_name=function.resource.ref,
            principal="events.amazonaws.com",
            source_arn=rule.attr_arn,
        )


def add_alerts(stack: Any, environment: Environment, topic_arn: str, dead_letters: Any) -> None:
    """Tell people in a sentence of executions that failed and of candidates that the gate has rejected."""
    scope, status = Construct(stack, "Ends"), f"`tilegate status --env {environment.name}`"

    def tell(name: str, kind: str, detail: Mapping[str, Any], sentence: str, **paths: str) -> None:
        transformer = events.CfnRule.InputTransformerProperty(
            input_paths_map={"execution": "$.detail.pipelineExecutionArn", **paths}, input_template=f'"{sentence}"'
        )
        _rule(
            scope,
            environment,
            name,
            construct=name,
            description=sentence.partition(".")[0],
            pattern={"detail-type": [kind], "detail": {"pipelineArn": [environment.pipeline_arn], **detail}},
            target={"id": "alerts", "arn": topic_arn, "input_transformer": transformer},
            dead_letters=dead_letters,
        )

    tell(
        FAILED,
        _EXECUTION,
        {"currentPipelineExecutionStatus": ["Failed", "Stopped"]},
        f"{environment.project}: the execution <execution> has ended as <status>. {status} tells which step it was and "
        f"why. {CONVERT.name} also ends like this where no converted model has passed the gate.",
        status="$.detail.currentPipelineExecutionStatus",
    )
    tell(
        REJECTED,
        "SageMaker Model Building Pipeline Execution Step Status Change",
        {"stepName": list(REJECTIONS), "currentStepStatus": ["Failed"]},
        f"{environment.project}: the gate has rejected the candidate of <execution>. The released model stays. "
        f"{status} tells the reasons.",
    )


def _rule(
    scope: Any,
    environment: Environment,
    name: str,
    *,
    construct: str,
    description: str,
    pattern: Mapping[str, Any],
    target: Mapping[str, Any],
    dead_letters: Any,
) -> Any:
    """Add a rule for events of SageMaker; what cannot be delivered goes to the dead letters."""
    letters = events.CfnRule.DeadLetterConfigProperty(arn=dead_letters.queue_arn)
    rule = events.CfnRule(
        scope,
        construct,
        name=rule_name(environment, name),
        description=description,
        event_pattern={"source": ["aws.sagemaker"], **pattern},
        targets=[events.CfnRule.TargetProperty(dead_letter_config=letters, retry_policy=_RETRY, **target)],
    )
    source = {"ArnEquals": {"aws:SourceArn": environment.arn("events", f"rule/{rule_name(environment, name)}")}}
    sid = f"From{name.title().replace('-', '')}"
    dead_letters.add_to_resource_policy(
        allow(sid, "sqs:SendMessage", [dead_letters.queue_arn], source, service="events")
    )
    return rule
