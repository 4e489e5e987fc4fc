"""The findings of cdk-nag's AwsSolutions that stay, each with the reason. Any other fails a test."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.definition.step_table import ROLES

_NAMED_AT_RUN_TIME = (
    "what lies there is named at run time (by digest, execution or version); the prefix is the duty's own"
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """`rule` is a pattern of what cdk-nag calls a finding, `where` one of a construct's path within the stack."""

    rule: str
    where: str
    reason: str

    def explains(self, rule: str, path: str) -> bool:
        return bool(re.fullmatch(self.rule, rule) and re.fullmatch(self.where, path))


def _resource(arn: str) -> str:
    return rf"AwsSolutions-IAM5\[Resource::{arn}\]"


_JOBS = rf"Roles/({'|'.join(map(str.capitalize, ROLES))})/Duty/Resource"
_ANYBODY = r"(Roles|FunctionRoles|People|Tracking)/\w+/Duty/Resource"

ACCEPTED = (
    Accepted(
        r"AwsSolutions-SQS3",
        r".*/DeadLetters/Resource",
        "it is a dead-letter queue: of rules, schedules and functions, which the check does not see",
    ),
    Accepted(
        _resource(r"\*"),
        _JOBS,
        "ECR's log-in and PutMetricData (with its namespace) know no resource; what places a job in a network may name "
        "none, or SageMaker refuses the job",
    ),
    Accepted(_resource(r"\*"), r"Network/FlowLogRole/Duty/Resource", "DescribeLogGroups knows no resource"),
    Accepted(
        _resource(r"arn:aws:logs:.*:log-group:/aws/(sagemaker/(Processing|Training)Jobs|lambda/tilegate-[\w-]+):\*"),
        _ANYBODY,
        "the streams of one log group",
    ),
    Accepted(
        _resource(r"arn:aws:s3:::tilegate-\w+-(data|artifacts|releases)-\d+-[\w-]+/.+"), _ANYBODY, _NAMED_AT_RUN_TIME
    ),
    Accepted(
        _resource(r"arn:aws:s3:::tilegate-\w+-releases-\d+-[\w-]+/\*"),
        r"(FunctionRoles/Publisher|People/\w+)/Duty/Resource",
        "the bucket holds releases and nothing else",
    ),
    Accepted(
        _resource(r"arn:aws:sagemaker:.*:(processing-job|training-job|hyper-parameter-tuning-job)/\*"),
        r"(Roles/Pipeline|FunctionRoles/(Starter|Recorder)|People/Operator)/Duty/Resource",
        "SageMaker names the jobs of a pipeline; which may be created is told by conditions on network and keys",
    ),
    Accepted(
        _resource(r"arn:aws:sagemaker:.*:model-package/tilegate-[\w-]+/\*"), _ANYBODY, "the versions of one group"
    ),
    Accepted(
        _resource(r"arn:aws:sagemaker:.*:pipeline/tilegate-\w+/execution/\*"),
        r"(FunctionRoles|People)/\w+/Duty/Resource",
        "the executions of one pipeline",
    ),
)


def unexplained(findings: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the findings, as (rule, path within the stack), for which nobody has given a reason."""
    return [f for f in findings if not any(accepted.explains(*f) for accepted in ACCEPTED)]


def unused(findings: Iterable[tuple[str, str]]) -> list[Accepted]:
    """Return the reasons that nothing needs any more."""
    known = list(findings)
    return [accepted for accepted in ACCEPTED if not any(accepted.explains(*finding) for finding in known)]
