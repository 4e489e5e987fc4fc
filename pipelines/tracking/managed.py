"""SageMaker's managed MLflow: found by name, opened through the plugin `sagemaker-mlflow`, written to at the end."""

import os
from typing import TYPE_CHECKING, Any

from pipelines.tracking.database import quieten
from steps.core.common.errors import UserError

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
    from pipelines.tracking.mirror import mirror_execution

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
