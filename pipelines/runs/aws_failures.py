"""Why a step of an execution failed, in the words of whoever knows most."""

from collections.abc import Mapping
from typing import Any


def failure_of(step: Mapping[str, Any], client: Any) -> str:
    """Return what a step's program said at its end, what the service says of the step, and what of its job.

    `step` is one of `list_pipeline_execution_steps`, `client` boto3's of SageMaker.
    """
    metadata = step.get("Metadata") or {}
    said = [step.get("FailureReason") or metadata.get("Fail", {}).get("ErrorMessage")]
    if step["StepStatus"] == "Failed" and (arn := metadata.get("ProcessingJob", {}).get("Arn")):
        job = client.describe_processing_job(ProcessingJobName=str(arn).rpartition("/")[2])
        said = [job.get("ExitMessage"), *said, job.get("FailureReason")]
    return "; ".join(dict.fromkeys(str(words) for words in said if words))
