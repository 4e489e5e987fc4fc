"""The EventBridge rules: approvals go to the publisher, ends to the recorder, the unwished among them to people."""

from collections.abc import Mapping
from typing import Any

from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as functions
from constructs import Construct

from infra.template.functions import Function
from pipelines.definition.step_table import CONVERT, REJECTIONS
from pipelines.environment import Environment

APPROVED, ENDED, FAILED, REJECTED = "approved", "execution-ended", "execution-failed", "candidate-rejected"
_EXECUTION = "SageMaker Model Building Pipeline Execution Status Change"
_RETRY = events.CfnRule.RetryPolicyProperty(maximum_retry_attempts=8, maximum_event_age_in_seconds=6 * 3600)


def rule_name(environment: Environment, rule: str) -> str:
    return f"{environment.project}-{rule}"


def add_approval(stack: Any, environment: Environment, publisher: Function) -> None:
    """Call the publisher for each version that was approved; one that was rejected is nothing to release."""
    _call(
        Construct(stack, "Approval"),
        environment,
        APPROVED,
        kind="SageMaker Model Package State Change",
        detail={
            "ModelPackageGroupName": [environment.model_package_group],
            "ModelApprovalStatus": ["Approved"],
        },
        function=publisher,
    )


def add_recording(stack: Any, environment: Environment, recorder: Function) -> None:
    """Call the recorder for each execution that has ended, however it did."""
    _call(
        Construct(stack, "Recording"),
        environment,
        ENDED,
        kind=_EXECUTION,
        detail={
            "pipelineArn": [environment.pipeline_arn],
            "currentPipelineExecutionStatus": ["Succeeded", "Failed", "Stopped"],
        },
        function=recorder,
    )


def _call(
    scope: Any, environment: Environment, name: str, *, kind: str, detail: Mapping[str, Any], function: Function
) -> None:
    rule = events.CfnRule(
        scope,
        "Rule",
        name=rule_name(environment, name),
        description=f"Calls {function.name}",
        event_pattern={"source": ["aws.sagemaker"], "detail-type": [kind], "detail": detail},
        targets=[
            events.CfnRule.TargetProperty(
                id="function",
                arn=function.arn,
                dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=function.dead_letters.queue_arn),
                retry_policy=_RETRY,
            )
        ],
    )
    functions.CfnPermission(
        scope,
        "MayCall",
        action="lambda:InvokeFunction",
        function_name=function.resource.ref,
        principal="events.amazonaws.com",
        source_arn=rule.attr_arn,
    )
    _accept_letters(function.dead_letters, environment, name)


def add_alerts(stack: Any, environment: Environment, topic_arn: str, dead_letters: Any) -> None:
    """Tell people in a sentence of executions that failed and of candidates that the gate has rejected."""
    scope = Construct(stack, "Ends")
    name = environment.project
    _tell(
        scope,
        environment,
        FAILED,
        kind=_EXECUTION,
        detail={"pipelineArn": [environment.pipeline_arn], "currentPipelineExecutionStatus": ["Failed", "Stopped"]},
        paths={"execution": "$.detail.pipelineExecutionArn", "status": "$.detail.currentPipelineExecutionStatus"},
        sentence=f"{name}: the execution <execution> has ended as <status>. "
        f"`tilegate status --env {environment.name}` tells which step it was and why. "
        f"{CONVERT.name} also ends like this where no converted model has passed the gate.",
        topic_arn=topic_arn,
        dead_letters=dead_letters,
    )
    _tell(
        scope,
        environment,
        REJECTED,
        kind="SageMaker Model Building Pipeline Execution Step Status Change",
        detail={
            "pipelineArn": [environment.pipeline_arn],
            "stepName": list(REJECTIONS),
            "currentStepStatus": ["Failed"],
        },
        paths={"execution": "$.detail.pipelineExecutionArn"},
        sentence=f"{name}: the gate has rejected the candidate of <execution>. The released model stays. "
        f"`tilegate status --env {environment.name}` tells the reasons.",
        topic_arn=topic_arn,
        dead_letters=dead_letters,
    )


def _tell(
    scope: Any,
    environment: Environment,
    rule: str,
    *,
    kind: str,
    detail: Mapping[str, Any],
    paths: Mapping[str, str],
    sentence: str,
    topic_arn: str,
    dead_letters: Any,
) -> None:
    events.CfnRule(
        scope,
        rule,
        name=rule_name(environment, rule),
        description=sentence.partition(".")[0],
        event_pattern={"source": ["aws.sagemaker"], "detail-type": [kind], "detail": detail},
        targets=[
            events.CfnRule.TargetProperty(
                id="alerts",
                arn=topic_arn,
                input_transformer=events.CfnRule.InputTransformerProperty(
                    input_paths_map=dict(paths), input_template=f'"{sentence}"'
                ),
                dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=dead_letters.queue_arn),
                retry_policy=_RETRY,
            )
        ],
    )
    _accept_letters(dead_letters, environment, rule)


def _accept_letters(queue: Any, environment: Environment, rule: str) -> None:
    queue.add_to_resource_policy(
        iam.PolicyStatement(
            sid=f"From{rule.title().replace('-', '')}",
            principals=[iam.ServicePrincipal("events.amazonaws.com")],
            actions=["sqs:SendMessage"],
            resources=[queue.queue_arn],
            conditions={
                "ArnEquals": {"aws:SourceArn": environment.arn("events", f"rule/{rule_name(environment, rule)}")}
            },
        )
    )
