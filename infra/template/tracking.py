"""Managed MLflow, the serverless app or a server of one's own, and the function that records executions in it."""

from typing import Any

from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra.options import Options
from infra.template.statements import after_grant, allow, objects, reading, service_role, through_s3, writing
from pipelines.environment import Environment

# What recording does in a server; an app knows one permission for its whole API.
_RECORDING = (
    "sagemaker-mlflow:CreateExperiment GetExperiment GetExperimentByName SearchExperiments RestoreExperiment "
    "SetExperimentTag CreateRun GetRun UpdateRun DeleteRun SearchRuns ListArtifacts LogBatch LogInputs LogMetric "
    "LogParam SetTag GetMetricHistory"
)


def add_tracking(stack: Any, environment: Environment, options: Options, key_arn: str) -> tuple[str, Any]:
    """Add MLflow; return its ARN, which is its tracking URI as well, and the statement that lets a role record in it.

    Registered models are SageMaker's business: MLflow's own registry is not mirrored into it.
    """
    scope = Construct(stack, "Tracking")
    places = [f"{environment.artifact_bucket}/mlflow/*"]
    statements = [
        *reading(environment, places),
        writing(environment, places),
        allow("Delete", "s3:DeleteObject", objects(environment, places)),
        through_s3(environment, key_arn),
    ]
    role = service_role(scope, environment, "mlflow", statements, service="sagemaker", what="MLflow's artefacts")
    artifacts = f"s3://{environment.artifact_bucket}/mlflow"
    resource: Any
    if options.mlflow == "app":
        resource = sagemaker.CfnMlflowApp(
            scope,
            "App",
            name=environment.mlflow,
            artifact_store_uri=artifacts,
            role_arn=role.role_arn,
            model_registration_mode="AutoModelRegistrationDisabled",
        )
        arn, actions = resource.attr_arn, "sagemaker:CallMlflowAppApi"
    else:
        resource = sagemaker.CfnMlflowTrackingServer(
            scope,
            "Server",
            tracking_server_name=environment.mlflow,
            tracking_server_size="Small",
            artifact_store_uri=artifacts,
            role_arn=role.role_arn,
            automatic_model_registration=False,
        )
        arn, actions = environment.arn("sagemaker", f"mlflow-tracking-server/{environment.mlflow}"), _RECORDING
    after_grant(resource, role)
    return arn, allow("RecordInMlflow", actions, [arn])
