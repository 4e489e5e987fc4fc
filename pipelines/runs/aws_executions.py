"""Executions of the deployed pipeline, as a person looks at them: which there are, how one stands, step by step."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines.aws.session import aws_errors
from pipelines.runs.aws_failures import failure_of
from steps.core.common.errors import UserError

_GOES_ON = ("Executing", "Stopping", "Starting")
_LONGEST_NOTE = 3072
_JOBS = ("ProcessingJob", "TrainingJob", "TuningJob")


@dataclass(frozen=True, slots=True)
class Execution:
    """`name` is the one that a night gave it, `note` what people have said of it; `ended` is None while it goes on."""

    arn: str
    name: str
    status: str
    started: datetime
    ended: datetime | None = None
    reason: str = ""
    note: str = ""

    @property
    def id(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def goes_on(self) -> bool:
        return self.status in _GOES_ON


@dataclass(frozen=True, slots=True)
class Job:
    """`kind` is ProcessingJob, TrainingJob or TuningJob."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class StepState:
    """`source` is the execution that it was taken from, if it was; `told` what the step itself has to say."""

    name: str
    status: str
    started: datetime | None
    ended: datetime | None
    reason: str = ""
    source: str = ""
    told: str = ""
    job: Job | None = None

    @property
    def goes_on(self) -> bool:
        return self.status in _GOES_ON

    def seconds(self, now: datetime) -> float | None:
        return ((self.ended or now) - self.started).total_seconds() if self.started else None


class ExecutionsSeen:
    """`client` is boto3's of SageMaker, `pipeline` the ARN. What AWS refuses is UserError."""

    def __init__(self, client: Any, pipeline: str) -> None:
        self._client, self._arn = client, pipeline
        self._name = pipeline.rpartition("/")[2]

    def newest(self) -> Iterator[Execution]:
        """Yield the executions, the newest first, without how they ended."""
        with aws_errors(f"list the executions of {self._name}"):
            pages = self._client.get_paginator("list_pipeline_executions").paginate(
                PipelineName=self._name, SortBy="CreationTime", SortOrder="Descending"
            )
            for page in pages:
                for told in page["PipelineExecutionSummaries"]:
                    yield _summarised(told)

    def find(self, wanted: str | None) -> Execution:
        """Return an execution by its id, its ARN or its night's name; None is the newest. Raises UserError."""
        if wanted is None:
            found = next(self.newest(), None)
            if found is None:
                raise UserError(f"{self._name} has no executions yet: `tilegate start` makes one")
            return self.describe(found.arn)
        if wanted.startswith("arn:"):
            return self.describe(wanted)
        for execution in self.newest():
            if wanted in (execution.id, execution.name):
                return self.describe(execution.arn)
        raise UserError(f"{self._name} has no execution {wanted!r}: `tilegate runs` lists them")

    def describe(self, arn: str) -> Execution:
        with aws_errors(f"describe the execution {arn.rpartition('/')[2]}"):
            told = self._client.describe_pipeline_execution(PipelineExecutionArn=arn)
        status = str(told["PipelineExecutionStatus"])
        return Execution(
            str(told["PipelineExecutionArn"]),
            str(told.get("PipelineExecutionDisplayName") or ""),
            status,
            told["CreationTime"],
            None if status in _GOES_ON else told.get("LastModifiedTime"),
            str(told.get("FailureReason") or ""),
            str(told.get("PipelineExecutionDescription") or ""),
        )

    def steps(self, execution: Execution) -> list[StepState]:
        """Return the steps that have begun, in that order, each with the reason of its failure."""
        with aws_errors(f"list the steps of {execution.id}"):
            pages = self._client.get_paginator("list_pipeline_execution_steps").paginate(
                PipelineExecutionArn=execution.arn, SortOrder="Ascending"
            )
            return [self._step(told) for page in pages for told in page["PipelineExecutionSteps"]]

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
                Job("TrainingJob", str(told["TrainingJobName"]))
                for page in pages
                for told in page["TrainingJobSummaries"]
            ]

    def _step(self, told: Mapping[str, Any]) -> StepState:
        metadata = told.get("Metadata") or {}
        job = _job(metadata)
        source = str((told.get("CacheHitResult") or {}).get("SourcePipelineExecutionArn") or "")
        return StepState(
            str(told["StepName"]),
            str(told["StepStatus"]),
            told.get("StartTime"),
            told.get("EndTime"),
            failure_of(told, self._client),
            source.rpartition("/")[2],
            _told(metadata),
            job,
        )


def _summarised(told: Mapping[str, Any]) -> Execution:
    return Execution(
        str(told["PipelineExecutionArn"]),
        str(told.get("PipelineExecutionDisplayName") or ""),
        str(told["PipelineExecutionStatus"]),
        told.get("StartTime") or datetime.fromtimestamp(0, UTC),
        reason=_sentence(told.get("PipelineExecutionFailureReason")),
        note=_sentence(told.get("PipelineExecutionDescription")),
    )


def _sentence(value: Any) -> str:
    return "" if value in (None, "None") else str(value)


def _job(metadata: Mapping[str, Any]) -> Job | None:
    for kind in _JOBS:
        if arn := str(metadata.get(kind, {}).get("Arn") or ""):
            return Job(kind, arn.rpartition("/")[2])
    return None


def _told(metadata: Mapping[str, Any]) -> str:
    if outcome := metadata.get("Condition", {}).get("Outcome"):
        return "passed" if str(outcome).lower() == "true" else "not passed"
    if arn := metadata.get("RegisterModel", {}).get("Arn"):
        return f"version {str(arn).rpartition('/')[2]}"
    return ""
