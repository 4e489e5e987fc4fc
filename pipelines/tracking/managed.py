"""SageMaker's managed MLflow: found by name, and given a record of every ended execution."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.executor.events import ExecutionStarted
from pipelines.storage.protocol import ObjectStore
from pipelines.tracking import tags
from pipelines.tracking.contents import is_shown
from pipelines.tracking.database import quieten
from pipelines.tracking.experiment import open_experiment
from pipelines.tracking.runs import RUNNING, Runs
from pipelines.tracking.service import execution_events
from pipelines.tracking.writer import Writer
from steps.core.common.errors import UserError
from steps.core.common.scratch import scratch

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from pipelines.aws.session import Deployment

_USABLE = ("Created", "Updated", "UpdateFailed")
# By default it would wait for minutes for an endpoint that is away, and print an address for every run that it closes.
_MANNERS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def record(deployment: "Deployment", execution: str, tracking_uri: str = "") -> tuple[str, bool]:
    """Record an ended execution, given its id or ARN, and return its MLflow run and whether that was made now.

    Without `tracking_uri` the environment's managed MLflow is meant. Raises UserError for what a person can mend.
    """
    from pipelines.aws.errors import aws_errors
    from pipelines.storage.s3 import S3Objects

    environment = deployment.environment
    arn = execution if execution.startswith("arn:") else f"{environment.pipeline_arn}/execution/{execution}"
    buckets = [
        S3Objects(deployment.client("s3"), name) for name in (environment.data_bucket, environment.artifact_bucket)
    ]
    sagemaker = deployment.client("sagemaker")
    with aws_errors(f"read the execution {arn.rpartition('/')[2]}"):
        mlflow = open_tracking(tracking_uri or find_tracking(sagemaker, environment.mlflow))
        return mirror_execution(sagemaker, buckets, mlflow, arn)


def find_tracking(client: Any, name: str) -> str:
    """Return the ARN of the MLflow app of that name, or of the tracking server; raises UserError if there is neither.

    `client` is boto3's for SageMaker.
    """
    for page in client.get_paginator("list_mlflow_apps").paginate():
        for app in page["Summaries"]:
            if app["Name"] == name and app["Status"] in _USABLE:
                return str(app["Arn"])
    for page in client.get_paginator("list_mlflow_tracking_servers").paginate():
        for server in page["TrackingServerSummaries"]:
            if server["TrackingServerName"] == name:
                return str(server["TrackingServerArn"])
    raise UserError(f"there is no MLflow app or tracking server {name}: deploy the environment with MLflow first")


def open_tracking(uri: str) -> "MlflowClient":
    """Return a client of the store at `uri`: an ARN, or anything else that MLflow takes."""
    quieten()
    for name, value in _MANNERS.items():
        os.environ.setdefault(name, value)
    import mlflow

    if uri.startswith("arn:"):
        # The plugin signs what a client sends for the client's ARN, but addresses it to the global one.
        mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


def mirror_execution(client: Any, buckets: Sequence[ObjectStore], mlflow: "MlflowClient", arn: str) -> tuple[str, bool]:
    """Record the execution with this ARN; return its MLflow run and whether that was made now.

    `client` is boto3's for SageMaker, `buckets` hold the steps' outputs. Whatever is recorded whole stays as it is;
    what a kill has left half-recorded is made anew. Two at once may both record: let one at a time call it. Raises
    UserError if the execution has not ended.
    """
    with scratch("mirror") as folder:
        (at, started), *events = execution_events(client, arn, folder / "run")
        if not isinstance(started, ExecutionStarted):
            raise UserError(f"{arn} does not begin with its start")
        runs = Runs(mlflow, open_experiment(mlflow, started.pipeline_name))
        earlier = runs.find(started.execution_id)
        for run in earlier:
            if tags.PARENT not in run.data.tags and run.info.status != RUNNING:
                return str(run.info.run_id), False
        for run in earlier:
            mlflow.delete_run(run.info.run_id)
        writer = Writer(runs, started, at, lambda uri: _fetch(buckets, uri, folder))
        for moment, event in events:
            writer.write(event, moment)
        writer.flush()
        return writer.parent, True


def _fetch(buckets: Sequence[ObjectStore], uri: str, folder: Path) -> Path:
    """Bring what is shown of a step's output from its bucket into a new folder below `folder`; return that."""
    fetched = Path(tempfile.mkdtemp(dir=folder))
    for bucket in buckets:
        prefix = bucket.uri().rstrip("/") + "/"
        if not uri.startswith(prefix):
            continue
        key = uri.removeprefix(prefix).rstrip("/") + "/"
        for info in bucket.list(key):
            path = fetched / info.key.removeprefix(key)
            if is_shown(info.key, info.size):
                path.parent.mkdir(parents=True, exist_ok=True)
                bucket.download(info.key, path)
    return fetched
