"""A finished SageMaker execution as the events that the local executor would have sent, each with its moment.

Jobs are isolated from the network, so nothing inside one can write to MLflow: what there is to tell is read from the
service afterwards.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.executor.events import (
    ConditionDecided,
    Event,
    ExecutionFinished,
    ExecutionStarted,
    StepFailedEvent,
    StepMetric,
    StepReused,
    StepStarted,
    StepSucceeded,
    TrialFinished,
    TrialStarted,
)
from pipelines.executor.results import StepResult, StoredOutput
from steps.core.common.errors import UserError

ENDED = ("Succeeded", "Failed", "Stopped")
_TRIAL_STATUS = {"Completed": "Completed", "Stopped": "Stopped", "Stopping": "Stopped"}
# What a step's metadata call a job: our word for it, the operation that describes it, and its name there.
_JOBS = {
    "ProcessingJob": ("Processing", "describe_processing_job", "ProcessingJobName"),
    "TrainingJob": ("Training", "describe_training_job", "TrainingJobName"),
    "TuningJob": ("Tuning", "describe_hyper_parameter_tuning_job", "HyperParameterTuningJobName"),
}
Timed = tuple[int, Event]


def execution_events(client: Any, arn: str, run_dir: Path) -> list[Timed]:
    """Return the events of an execution in their order, moments in Unix milliseconds.

    `client` is boto3's for SageMaker. Raises UserError if the execution has not ended.
    """
    execution = client.describe_pipeline_execution(PipelineExecutionArn=arn)
    status = execution["PipelineExecutionStatus"]
    if status not in ENDED:
        raise UserError(f"the execution {_name(arn)} is {status}: it is recorded once it has ended")
    steps = _pages(client, "list_pipeline_execution_steps", "PipelineExecutionSteps", PipelineExecutionArn=arn)
    started, ended = execution["CreationTime"], execution["LastModifiedTime"]
    found = [timed for step in steps for timed in _Step(client, step).events()]
    # Sorting is stable: what a step says at one moment stays in its order.
    found.sort(key=lambda timed: timed[0])
    failed = next((step["StepName"] for step in steps if step.get("StepStatus") == "Failed"), None)
    reason = execution.get("FailureReason") or next(filter(None, (step.get("FailureReason") for step in steps)), None)
    finished = ExecutionFinished(
        status=status,
        failed_step=failed,
        reason=reason if status == "Failed" else None,
        seconds=(ended - started).total_seconds(),
    )
    return [(_ms(started), _started(client, arn, execution, run_dir)), *found, (_ms(ended), finished)]


def _started(client: Any, arn: str, execution: Mapping[str, Any], run_dir: Path) -> ExecutionStarted:
    text = client.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)["PipelineDefinition"]
    given = _pages(client, "list_pipeline_parameters_for_execution", "PipelineParameters", PipelineExecutionArn=arn)
    known = {item["Name"]: item["DefaultValue"] for item in json.loads(text)["Parameters"] if "DefaultValue" in item}
    return ExecutionStarted(
        execution_id=_name(arn),
        pipeline_name=_name(execution["PipelineArn"]),
        parameters=known | {item["Name"]: item["Value"] for item in given},
        definition_digest=hashlib.sha256(text.encode()).hexdigest(),
        run_dir=run_dir,
    )


class _Step:
    """One step of an execution, and the job behind it."""

    def __init__(self, client: Any, step: Mapping[str, Any]) -> None:
        self._client, self._step = client, step
        self._metadata: Mapping[str, Any] = step.get("Metadata") or {}
        self.name: str = step["StepName"]

    def events(self) -> Iterator[Timed]:
        for key, (kind, describe, argument) in _JOBS.items():
            if arn := (self._metadata.get(key) or {}).get("Arn"):
                job = getattr(self._client, describe)(**{argument: _name(arn)})
                yield from self._begin(kind, arn, job)
                if kind == "Training" and not self._origin:
                    for name, value in _metrics(job).items():
                        yield self._finish, StepMetric(self.name, None, name, value, 0)
                if kind == "Tuning" and not self._origin:
                    yield from self._trials(_name(arn))
                yield from self._end(kind, job)
                return
        if arn := (self._metadata.get("RegisterModel") or {}).get("Arn"):
            yield from self._begin("RegisterModel", arn, {"ModelPackageGroupName": arn.split("/")[-2]})
            yield from self._end("RegisterModel", {"ModelPackageArn": arn})
        elif outcome := (self._metadata.get("Condition") or {}).get("Outcome"):
            yield self._start, ConditionDecided(self.name, outcome == "True", f"the condition is {outcome.lower()}")
        elif "StartTime" in self._step:
            # A step that failed before it had a job, or a Fail step.
            message = (self._metadata.get("Fail") or {}).get("ErrorMessage")
            yield self._start, StepStarted(self.name, "Fail" if message else "", "", {})
            yield from self._end("", {}, message=message)

    def _trials(self, tuning: str) -> Iterator[Timed]:
        operation = "list_training_jobs_for_hyper_parameter_tuning_job"
        for trial in _pages(self._client, operation, "TrainingJobSummaries", HyperParameterTuningJobName=tuning):
            yield from self._trial(trial)

    def _trial(self, trial: Mapping[str, Any]) -> Iterator[Timed]:
        name = trial["TrainingJobName"]
        job = self._client.describe_training_job(TrainingJobName=name)
        begun = trial.get("TrainingStartTime") or trial["CreationTime"]
        ended = trial.get("TrainingEndTime") or begun
        tuned = dict(trial.get("TunedHyperParameters") or {})
        objective = (trial.get("FinalHyperParameterTuningJobObjectiveMetric") or {}).get("Value")
        yield _ms(begun), TrialStarted(self.name, name, tuned)
        finished = TrialFinished(
            step=self.name,
            trial_name=name,
            hyperparameters=tuned,
            metrics=_metrics(job),
            objective=objective,
            status=_TRIAL_STATUS.get(trial["TrainingJobStatus"], "Failed"),
            reused=False,
            seconds=(ended - begun).total_seconds(),
            reason=trial.get("FailureReason"),
        )
        yield _ms(ended), finished

    def _begin(self, kind: str, arn: str, arguments: Mapping[str, Any]) -> Iterator[Timed]:
        if not self._origin:
            yield self._start, StepStarted(self.name, kind, f"ran as {arn.rpartition(':')[2]}", arguments)

    def _end(self, kind: str, job: Mapping[str, Any], *, message: str | None = None) -> Iterator[Timed]:
        outputs = {
            item["OutputName"]: item["S3Output"]["S3Uri"]
            for item in (job.get("ProcessingOutputConfig") or {}).get("Outputs", [])
            if "S3Output" in item
        }
        seconds = (self._finish - self._start) / 1000
        stored = {name: StoredOutput(uri, "") for name, uri in outputs.items()}
        result = StepResult("Succeeded", job, seconds, outputs=stored)
        status = self._step.get("StepStatus")
        if self._origin:
            reason = f"the same was done in the execution {self._origin}"
            yield self._finish, StepReused(self.name, kind, reason, self._origin, result, _seconds(job))
        elif status == "Failed":
            reasons = (message, job.get("ExitMessage"), self._step.get("FailureReason"))
            reason = next(filter(None, reasons), "SageMaker gives no reason")
            yield self._finish, StepFailedEvent(self.name, reason, None, None, outputs)
        elif status == "Succeeded":
            yield self._finish, StepSucceeded(self.name, kind, result, seconds)

    @property
    def _origin(self) -> str:
        """The execution whose result was taken from the cache, "" if the step ran."""
        return _name((self._step.get("CacheHitResult") or {}).get("SourcePipelineExecutionArn", ""))

    @property
    def _start(self) -> int:
        return _ms(self._step["StartTime"])

    @property
    def _finish(self) -> int:
        return _ms(self._step.get("EndTime") or self._step["StartTime"])


def _seconds(job: Mapping[str, Any]) -> float:
    """Return how long a job took, whatever kind it is; 0 if it does not say."""
    begun = job.get("ProcessingStartTime") or job.get("TrainingStartTime") or job.get("CreationTime")
    ended = job.get("ProcessingEndTime") or job.get("TrainingEndTime") or job.get("HyperParameterTuningEndTime")
    return float((ended - begun).total_seconds()) if begun and ended else 0.0


def _metrics(job: Mapping[str, Any]) -> dict[str, float]:
    return {item["MetricName"]: float(item["Value"]) for item in job.get("FinalMetricDataList") or []}


def _pages(client: Any, operation: str, key: str, **arguments: Any) -> list[Mapping[str, Any]]:
    paginator = client.get_paginator(operation)
    return [item for page in paginator.paginate(**arguments) for item in page.get(key, [])]


def _name(arn: str) -> str:
    return arn.rpartition("/")[2]


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
