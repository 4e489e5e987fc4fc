"""The executions of the deployed pipeline in SageMaker: nights start them, and people look at them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from pipelines.aws.errors import aws_errors
from pipelines.definition.step_table import CONVERT, EVALUATE, REJECTIONS, TUNE, is_rejected
from pipelines.runs.executions import GOES_ON, Execution, Job, Outcome, Status, StepState
from pipelines.runs.standing import Standing
from pipelines.storage.protocol import NoSuchObject, ObjectStore
from pipelines.storage.s3 import S3Objects
from steps.core.common.errors import UserError

if TYPE_CHECKING:
    from pipelines.aws.session import Deployment

_LONGEST_NOTE = 3072
_JOBS = ("ProcessingJob", "TrainingJob", "TuningJob")
# In one request as many as the service gives.
_PAGE = 100
# Where a verdict lies, the one on what ships first.
_VERDICTS = ((CONVERT, "bundle/evidence/evaluation.json"), (EVALUATE, "evaluation/evaluation.json"))


class SageMakerExecutions:
    """`client` is boto3's of SageMaker. What the service refuses raises UserError that names the permission."""

    def __init__(self, client: Any, pipeline_arn: str) -> None:
        self._client, self._arn = client, pipeline_arn
        self._name = pipeline_arn.rpartition("/")[2]

    def start(self, display_name: str, token: str, parameters: Mapping[str, str]) -> str:
        # The service takes no empty text: such a one is the definition's own.
        given = {name: value for name, value in parameters.items() if value}
        with aws_errors(f"start the pipeline {self._name}"):
            started = self._client.start_pipeline_execution(
                PipelineName=self._name,
                PipelineExecutionDisplayName=display_name,
                PipelineParameters=[{"Name": name, "Value": value} for name, value in sorted(given.items())],
                ClientRequestToken=token,
            )
        return str(started["PipelineExecutionArn"]).rpartition("/")[2]

    def find(self, display_name: str) -> str | None:
        return next((found.id for found in self.newest() if found.name == display_name), None)

    def executing(self) -> str | None:
        """See the protocol; among the hundred newest, because an execution ends within days."""
        return next((found.id for found in islice(self.newest(), _PAGE) if found.goes_on), None)

    def outcome(self, execution: str) -> Outcome:
        found = self._described(f"{self._arn}/execution/{execution}")
        if found is None:
            # Of a pipeline that was destroyed: the buckets, and the nights' records in them, outlive it.
            return Outcome(Status.STOPPED, "SageMaker knows it no longer")
        return Outcome(Status.EXECUTING) if found.goes_on else outcome_of(found, self.steps(found))

    def newest(self) -> Iterator[Execution]:
        """Yield the executions, the newest first, without their ends."""
        with aws_errors(f"list the executions of {self._name}"):
            pages = self._client.get_paginator("list_pipeline_executions").paginate(
                PipelineName=self._name,
                SortBy="CreationTime",
                SortOrder="Descending",
                PaginationConfig={"PageSize": _PAGE},
            )
            for page in pages:
                yield from map(_execution, page["PipelineExecutionSummaries"])

    def look_up(self, wanted: str | None) -> Execution:
        """Return an execution by its id, its ARN or its night's name; None is the newest. Raises UserError."""
        if wanted and wanted.startswith("arn:"):
            return self.describe(wanted)
        found = next((each for each in self.newest() if wanted in (None, each.id, each.name)), None)
        if found:
            return self.describe(found.arn)
        if wanted is None:
            raise UserError(f"{self._name} has no executions yet: `tilegate start` makes one")
        raise self._unknown(wanted)

    def describe(self, arn: str) -> Execution:
        """Return an execution; raises UserError if there is none."""
        if found := self._described(arn):
            return found
        raise self._unknown(arn)

    def _unknown(self, wanted: str) -> UserError:
        return UserError(f"{self._name} has no execution {wanted!r}: `tilegate runs` lists them")

    def steps(self, execution: Execution) -> list[StepState]:
        """Return the steps that have begun, in that order, each with the reason of its failure."""
        with aws_errors(f"list the steps of {execution.id}"):
            pages = self._client.get_paginator("list_pipeline_execution_steps").paginate(
                PipelineExecutionArn=execution.arn, SortOrder="Ascending"
            )
            return [self._step(answer) for page in pages for answer in page["PipelineExecutionSteps"]]

    def status(self, execution: Execution, steps: Sequence[StepState] | None = None) -> str:
        """Return SageMaker's status, or Rejected where it was the gate that ended an execution: that is no failure."""
        if execution.status != "Failed":
            return execution.status
        return str(outcome_of(execution, self.steps(execution) if steps is None else steps).status)

    def stop(self, execution: Execution, note: str, token: str) -> None:
        """Stop an execution; `note` is kept with it, `token` (32 characters at least) makes repeating harmless."""
        if not execution.goes_on:
            raise UserError(f"{execution.id} has ended already: {execution.status}")
        text = "\n".join(filter(None, (execution.note, note)))[-_LONGEST_NOTE:]
        with aws_errors(f"stop the execution {execution.id}"):
            self._client.update_pipeline_execution(
                PipelineExecutionArn=execution.arn, PipelineExecutionDescription=text
            )
            self._client.stop_pipeline_execution(PipelineExecutionArn=execution.arn, ClientRequestToken=token)

    def jobs(self, step: StepState) -> list[Job]:
        """Return the jobs that write logs for a step: of a tuning, those that it started."""
        if step.job is None or step.job.kind != "TuningJob":
            return [step.job] if step.job else []
        name = step.job.name
        with aws_errors(f"list the training jobs of {name}"):
            pages = self._client.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
                HyperParameterTuningJobName=name, SortBy="CreationTime", SortOrder="Ascending"
            )
            return [
                Job("TrainingJob", job["TrainingJobName"]) for page in pages for job in page["TrainingJobSummaries"]
            ]

    def _described(self, arn: str) -> Execution | None:
        with aws_errors(f"describe the execution {arn.rpartition('/')[2]}"):
            try:
                answer = self._client.describe_pipeline_execution(PipelineExecutionArn=arn)
            except self._client.exceptions.ResourceNotFound:
                return None
        return _execution({"PipelineExecutionArn": arn, **answer})

    def _step(self, answer: Mapping[str, Any]) -> StepState:
        metadata = answer.get("Metadata") or {}
        source = str((answer.get("CacheHitResult") or {}).get("SourcePipelineExecutionArn") or "")
        return StepState(
            str(answer["StepName"]),
            str(answer["StepStatus"]),
            answer.get("StartTime"),
            answer.get("EndTime"),
            self._failure(answer, metadata),
            source.rpartition("/")[2],
            _note(metadata),
            _job(metadata),
        )

    def _failure(self, step: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
        """Return what a step's program says at its end, what the service says of the step, and what of its job."""
        reasons = [step.get("FailureReason") or metadata.get("Fail", {}).get("ErrorMessage")]
        if step["StepStatus"] == "Failed" and (arn := metadata.get("ProcessingJob", {}).get("Arn")):
            job = self._client.describe_processing_job(ProcessingJobName=str(arn).rpartition("/")[2])
            reasons = [job.get("ExitMessage"), *reasons, job.get("FailureReason")]
        return "; ".join(dict.fromkeys(str(reason) for reason in reasons if reason))


def outcome_of(execution: Execution, steps: Sequence[StepState]) -> Outcome:
    """Return how an execution has ended that had these steps."""
    job = next((s.job.name for s in steps if s.name == TUNE.name and s.job and s.status == "Succeeded"), "")
    if execution.status == "Succeeded":
        return Outcome(Status.SUCCEEDED, tuning_job=job)
    failed = [step for step in steps if step.status == "Failed"]
    # The step that says why it rejects, else the first that failed.
    rejecting = [step for step in failed if step.name in REJECTIONS]
    ended_it = min(rejecting or failed, key=lambda step: str(step.ended or ""), default=None)
    name, reason = (ended_it.name, ended_it.reason) if ended_it else ("", execution.reason)
    if execution.status == "Stopped":
        return Outcome(Status.STOPPED, reason or "stopped on request", name, job)
    rejected = is_rejected(name, None, reason)
    return Outcome(Status.REJECTED if rejected else Status.FAILED, reason, name, job)


def _execution(answer: Mapping[str, Any]) -> Execution:
    """Return an execution as it is listed or described: some fields bear another name in each."""

    def text(*names: str) -> str:
        return next((str(answer[name]) for name in names if answer.get(name) not in (None, "", "None")), "")

    status = str(answer["PipelineExecutionStatus"])
    return Execution(
        str(answer["PipelineExecutionArn"]),
        text("PipelineExecutionDisplayName"),
        status,
        answer.get("CreationTime") or answer.get("StartTime") or datetime.fromtimestamp(0, UTC),
        None if status in GOES_ON else answer.get("LastModifiedTime"),
        text("FailureReason", "PipelineExecutionFailureReason"),
        text("PipelineExecutionDescription"),
    )


def _job(metadata: Mapping[str, Any]) -> Job | None:
    for kind in _JOBS:
        if arn := str(metadata.get(kind, {}).get("Arn") or ""):
            return Job(kind, arn.rpartition("/")[2])
    return None


def _note(metadata: Mapping[str, Any]) -> str:
    if outcome := metadata.get("Condition", {}).get("Outcome"):
        return "passed" if str(outcome).lower() == "true" else "not passed"
    if arn := metadata.get("RegisterModel", {}).get("Arn"):
        return f"version {str(arn).rpartition('/')[2]}"
    return ""


def standing(deployment: "Deployment", wanted: str | None) -> Standing:
    """Look at an execution, by default the newest."""
    environment = deployment.environment
    executions = SageMakerExecutions(deployment.client("sagemaker"), environment.pipeline_arn)
    execution = executions.look_up(wanted)
    steps = tuple(executions.steps(execution))
    artifacts = S3Objects(deployment.client("s3"), environment.artifact_bucket)
    return Standing(execution, executions.status(execution, steps), steps, _verdict(artifacts, execution, steps))


def _verdict(artifacts: ObjectStore, execution: Execution, steps: Sequence[StepState]) -> Mapping[str, Any] | None:
    succeeded = {step.name: step for step in steps if step.status == "Succeeded"}
    for verdict, rest in _VERDICTS:
        if step := succeeded.get(verdict.name):
            with suppress(NoSuchObject):
                return dict(json.loads(artifacts.get(f"runs/{step.source or execution.id}/{verdict.name}/{rest}")))
    return None
