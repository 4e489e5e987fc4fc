"""The logs of an execution's jobs, out of CloudWatch, in the order of time."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipelines.aws.errors import aws_errors
from pipelines.runs.executions import Job
from pipelines.runs.sagemaker_executions import SageMakerExecutions
from steps.core.common.errors import UserError

_GROUPS: Mapping[str, str] = {
    "ProcessingJob": "/aws/sagemaker/ProcessingJobs",
    "TrainingJob": "/aws/sagemaker/TrainingJobs",
}
_POLL_SECONDS = 5.0
# A line may arrive later than younger ones of another host.
_LATE_MS = 60_000


class Line(NamedTuple):
    """`moment` in Unix milliseconds; `stream` tells job and host."""

    moment: int
    stream: str
    text: str


@dataclass(slots=True)
class JobLog:
    """The log of one job, read on from where it was read to. `client` is boto3's of CloudWatch Logs."""

    client: Any
    job: Job
    _newest: int = 0
    _seen: dict[str, int] = field(default_factory=dict)

    def read(self) -> Iterator[Line]:
        """Yield the lines that have come since; none while the job has not begun to write."""
        from botocore.exceptions import ClientError

        since = max(self._newest - _LATE_MS, 0)
        with aws_errors(f"read the log of {self.job.name}"):
            try:
                pages = self.client.get_paginator("filter_log_events").paginate(
                    logGroupName=_GROUPS[self.job.kind],
                    logStreamNamePrefix=f"{self.job.name}/",
                    **({"startTime": since} if since else {}),
                )
                for page in pages:
                    for event in page["events"]:
                        if event["eventId"] not in self._seen:
                            self._seen[event["eventId"]] = event["timestamp"]
                            self._newest = max(self._newest, event["timestamp"])
                            yield Line(event["timestamp"], event["logStreamName"], _printable(event["message"]))
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceNotFoundException":
                    raise
        # Only those that the next reading may meet again are kept.
        self._seen = {name: moment for name, moment in self._seen.items() if moment >= self._newest - _LATE_MS}


def log_lines(
    client: Any, executions: SageMakerExecutions, wanted: str | None, step: str | None, *, follow: bool
) -> Iterator[tuple[str, str]]:
    """Yield what the jobs of an execution, or of one of its steps, have printed: the job, and a line."""
    arn = executions.look_up(wanted).arn

    def poll() -> tuple[Sequence[Job], bool]:
        execution = executions.describe(arn)
        steps = executions.steps(execution)
        chosen = [state for state in steps if step in (None, state.name)]
        # While it is followed, a step may not have begun yet.
        if step and not chosen and not (follow and execution.goes_on):
            names = ", ".join(state.name for state in steps if state.job) or "none"
            raise UserError(f"{execution.id} has no step {step!r} that has begun: {names}")
        goes_on = any(state.goes_on for state in chosen) if step and chosen else execution.goes_on
        return [job for state in chosen for job in executions.jobs(state)], follow and goes_on

    for line in follow_logs(client, poll):
        yield line.stream.partition("/")[0], line.text


def follow_logs(
    client: Any, poll: Callable[[], tuple[Sequence[Job], bool]], sleep: Callable[[float], None] = time.sleep
) -> Iterator[Line]:
    """Yield lines as they come, until `poll`, which returns the jobs, says that no more will."""
    logs: dict[str, JobLog] = {}
    while True:
        jobs, goes_on = poll()
        for job in jobs:
            logs.setdefault(job.name, JobLog(client, job))
        yield from sorted((line for log in logs.values() for line in log.read()), key=lambda line: line.moment)
        if not goes_on:
            return
        sleep(_POLL_SECONDS)


def _printable(text: str) -> str:
    """Return a line without what would move a terminal's cursor or change its colours."""
    return "".join(c if c.isprintable() or c == "\t" else " " for c in text.rstrip())
