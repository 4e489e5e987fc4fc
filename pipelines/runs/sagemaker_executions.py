"""The executions of a pipeline in SageMaker."""

import re
from collections.abc import Mapping
from typing import Any

from pipelines.aws.session import aws_errors
from pipelines.definition.step_table import CONVERT, REJECT, TUNE
from pipelines.runs.aws_failures import failure_of
from pipelines.runs.executions import Outcome, Status
from steps.core.common.program import EXIT_REJECTED

# How the program of ConvertToTFLite begins to say that the gate has rejected every variant.
REFUSAL = "No converted model may ship."
_EXIT_CODE = re.compile(rf"exit code:? *{EXIT_REJECTED}\b", re.IGNORECASE)
_GOES_ON = ("Executing", "Stopping")
_PAGE = 100


class SageMakerExecutions:
    """`client` is boto3's of SageMaker. What the service refuses raises UserError that names the permission."""

    def __init__(self, client: Any, pipeline_arn: str) -> None:
        self._client, self._arn = client, pipeline_arn
        self._name = pipeline_arn.rpartition("/")[2]

    def start(self, display_name: str, token: str, parameters: Mapping[str, str]) -> str:
        with aws_errors(f"start the pipeline {self._name}"):
            started = self._client.start_pipeline_execution(
                PipelineName=self._name,
                PipelineExecutionDisplayName=display_name,
                PipelineParameters=[{"Name": name, "Value": value} for name, value in sorted(parameters.items())],
                ClientRequestToken=token,
            )
        return _id(started)

    def find(self, display_name: str) -> str | None:
        pages = self._client.get_paginator("list_pipeline_executions").paginate(
            PipelineName=self._name, SortBy="CreationTime", SortOrder="Descending"
        )
        summaries = (summary for page in pages for summary in page["PipelineExecutionSummaries"])
        with aws_errors(f"list the executions of {self._name}"):
            return next((_id(s) for s in summaries if s.get("PipelineExecutionDisplayName") == display_name), None)

    def executing(self) -> str | None:
        """See the protocol; among the hundred newest, because an execution ends within days."""
        with aws_errors(f"list the executions of {self._name}"):
            page = self._client.list_pipeline_executions(
                PipelineName=self._name, SortBy="CreationTime", SortOrder="Descending", MaxResults=_PAGE
            )
        going_on = (s for s in page["PipelineExecutionSummaries"] if s["PipelineExecutionStatus"] in _GOES_ON)
        return next(map(_id, going_on), None)

    def outcome(self, execution: str) -> Outcome:
        arn = f"{self._arn}/execution/{execution}"
        with aws_errors(f"describe the execution {execution}"):
            try:
                told = self._client.describe_pipeline_execution(PipelineExecutionArn=arn)
            except self._client.exceptions.ResourceNotFound:
                # Of a pipeline that was destroyed: the buckets, and the nights' records in them, outlive it.
                return Outcome(Status.STOPPED, "SageMaker knows it no longer")
            if told["PipelineExecutionStatus"] in _GOES_ON:
                return Outcome(Status.EXECUTING)
            return self._ended(told, self._steps(arn))

    def _ended(self, told: Any, steps: list[Any]) -> Outcome:
        job = next((_tuning_job(step) for step in steps if step["StepName"] == TUNE.name), "")
        if told["PipelineExecutionStatus"] == "Succeeded":
            return Outcome(Status.SUCCEEDED, tuning_job=job)
        failed = _failed(steps)
        name = failed["StepName"] if failed else ""
        reason = failure_of(failed, self._client) if failed else str(told.get("FailureReason") or "")
        if told["PipelineExecutionStatus"] == "Stopped":
            return Outcome(Status.STOPPED, reason or "stopped on request", name, job)
        rejected = name == REJECT or (name == CONVERT.name and bool(_EXIT_CODE.search(reason) or REFUSAL in reason))
        return Outcome(Status.REJECTED if rejected else Status.FAILED, reason, name, job)

    def _steps(self, arn: str) -> list[Any]:
        pages = self._client.get_paginator("list_pipeline_execution_steps").paginate(PipelineExecutionArn=arn)
        return [step for page in pages for step in page["PipelineExecutionSteps"]]


def _id(summary: Any) -> str:
    return str(summary["PipelineExecutionArn"]).rpartition("/")[2]


def _failed(steps: list[Any]) -> Any:
    """Return the step that ended the execution: the one that says why it rejects, else the first that failed."""
    failed = [step for step in steps if step.get("StepStatus") == "Failed"]
    rejecting = [step for step in failed if step["StepName"] == REJECT]
    return min(rejecting or failed, key=lambda step: str(step.get("EndTime", "")), default=None)


def _tuning_job(step: Any) -> str:
    arn = step.get("Metadata", {}).get("TuningJob", {}).get("Arn", "")
    return str(arn).rpartition("/")[2] if step.get("StepStatus") == "Succeeded" else ""
