"""A preflight: whether an account is ready for a deployment, and what SageMaker's own parser says of the definition."""

import functools
import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from infra.deployment.images_in_aws import check_images, named_images
from infra.deployment.readiness import BAD, NotReadyError, Row, check
from infra.deployment.stacks_in_aws import Sleep, Tell
from infra.options import Choices, Images, Options
from pipelines.aws.session import Deployment, aws_errors
from pipelines.definition.parameters import pipeline_parameters
from pipelines.definition.settings import Settings
from pipelines.planning.seed import weights_sha256
from pipelines.storage.s3 import S3Objects
from steps.core.common.errors import UserError

# Lambda leaves so many to functions that reserve none, or refuses a reservation.
_UNRESERVED = 100
# A role that was just made is not known everywhere at once.
_TRIES, _PAUSE_SECONDS = 8, 4.0
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
_BUSY = ("Throttling", "ThrottlingException", "TooManyRequestsException")


def preflight(
    deployment: Deployment,
    choices: Choices,
    template: Mapping[str, Any],
    *,
    has_weights: bool,
    is_dry: bool = False,
    tell: Tell,
    sleep: Sleep = time.sleep,
) -> list[Row]:
    """Tell a table of what is ready, and return its rows; with `is_dry` nothing is tried that has to be made for it.

    `template` is that of the main stack, empty as long as there are no images. `has_weights`: the weights of the
    options are a file that this deployment uploads.
    """
    environment, options = deployment.environment, choices.options
    row, allowed = functools.partial(check, tell), functools.cache(functools.partial(_allowed, deployment))
    tell(f"Preflight of {environment.project} in {environment.account}, {environment.region}:")
    rows = [
        row("images", lambda: _images(deployment, choices)),
        row("weights", lambda: "the given file" if has_weights else _weights(deployment, options)),
        row("functions", lambda: _functions(deployment, template)),
        row("MLflow", lambda: _mlflow(deployment, options)),
    ]
    for name, number in _wanted(options).items():
        rows.append(row(name, functools.partial(_quota, allowed, name, number), is_needed=False))
    if not is_dry:
        images = choices.images or named_images(environment)
        rows.append(row("definition", lambda: _definition(deployment, images, options, sleep)))
    return rows


def refuse(rows: list[Row]) -> None:
    """Raise NotReadyError for the first thing without which a deployment would fail."""
    for row in rows:
        if row.state == BAD and row.is_needed:
            raise NotReadyError(f"nothing was changed: {row.text}")


def _images(deployment: Deployment, choices: Choices) -> str:
    if choices.images is None:
        raise NotReadyError("none was named yet: `tilegate deploy` makes their repositories, containers/push.sh them")
    return check_images(choices.images, deployment.environment, deployment.client("ecr"))


def _weights(deployment: Deployment, options: Options) -> str:
    if options.weights == "sample":
        return "the sample's small backbone, which comes with the program and knows the sample alone"
    artifacts = S3Objects(deployment.client("s3"), deployment.environment.artifact_bucket)
    with aws_errors(f"look for the weights {options.weights}"):
        try:
            weights_sha256(artifacts, artifacts.uri(f"weights/{options.weights}"))
        except UserError as error:
            raise NotReadyError(f"{error}; give the file with --weights again") from None
    return f"{options.weights} in {deployment.environment.artifact_bucket}"


def _functions(deployment: Deployment, template: Mapping[str, Any]) -> str:
    functions = [
        r["Properties"] for r in template.get("Resources", {}).values() if r["Type"] == "AWS::Lambda::Function"
    ]
    wanted = sum(properties.get("ReservedConcurrentExecutions", 0) for properties in functions) + _UNRESERVED
    with aws_errors("ask for the account's limit of functions"):
        limit = deployment.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    if limit < wanted:
        raise NotReadyError(
            f"{limit} concurrent executions of Lambda functions are allowed here and {wanted} wanted: ask for more, "
            "`aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384 "
            "--desired-value 1000`"
        )
    return f"{limit} concurrent executions allowed, {wanted} wanted"


def _mlflow(deployment: Deployment, options: Options) -> str:
    from botocore.exceptions import ClientError

    client = deployment.client("sagemaker")
    ask = client.list_mlflow_apps if options.mlflow == "app" else client.list_mlflow_tracking_servers
    with aws_errors("ask for managed MLflow"):
        try:
            ask(MaxResults=1)
        except ClientError as error:
            if error.response["Error"]["Code"] in (*_DENIED, *_BUSY):
                raise
            other = "server" if options.mlflow == "app" else "app"
            raise NotReadyError(
                f"there is no managed MLflow of the kind {options.mlflow!r} in {deployment.environment.region} "
                f"({error.response['Error'].get('Message', error)}): try `--mlflow {other}`, or another region"
            ) from None
    return f"{options.mlflow}, offered in {deployment.environment.region}"


def _wanted(options: Options) -> dict[str, int]:
    """Return how many instances a night uses at a time, by the names of their quotas."""
    values: dict[str, Any] = {p.name: p.default for p in pipeline_parameters(Settings())} | options.of_runs()
    trials = min(values["MaxTuningJobs"], values["MaxParallelTuningJobs"])
    spot = "spot " if options.spot else ""
    return {
        f"{values['ProcessingInstanceType']} for processing job usage": values["ProcessingInstanceCount"],
        f"{values['TrainingInstanceType']} for {spot}training job usage": values["TrainingInstanceCount"] * trials,
    }


def _allowed(deployment: Deployment) -> dict[str, Mapping[str, Any]]:
    with aws_errors("list SageMaker's quotas"):
        paginator = deployment.client("service-quotas").get_paginator("list_service_quotas")
        pages = paginator.paginate(ServiceCode="sagemaker")
        return {quota["QuotaName"]: quota for page in pages for quota in page["Quotas"]}


def _quota(allowed: Callable[[], Mapping[str, Mapping[str, Any]]], name: str, wanted: int) -> str:
    found = allowed().get(name)
    if found is None:
        raise NotReadyError("SageMaker has no such quota in this region: choose another instance type with --set")
    if found["Value"] < wanted:
        raise NotReadyError(
            f"{found['Value']:.0f} allowed and {wanted} wanted: ask for more, `aws service-quotas "
            f"request-service-quota-increase --service-code sagemaker --quota-code {found['QuotaCode']} "
            f"--desired-value {wanted}`"
        )
    return f"{found['Value']:.0f} allowed, {wanted} wanted"


def _definition(deployment: Deployment, images: Images, options: Options, sleep: Sleep) -> str:
    """Let SageMaker parse the definition: as a pipeline and with a role of their own, which are removed at once."""
    from infra.template.synth import toolkit

    with toolkit(validate=False):  # CDK starts its Node where it is imported first
        from infra.template.pipeline import compile_minified, placeholder_settings
    definition = compile_minified(placeholder_settings(deployment.environment, images, **options.of_training()))
    trial = f"{deployment.environment.project}-preflight"
    name = f"{trial}-{secrets.token_hex(4)}"
    with aws_errors(f"try the definition as {name}"):
        _remove(deployment, trial)
        try:
            _create(deployment, name, _make_role(deployment.client("iam"), trial, name), definition, sleep)
            deployment.client("sagemaker").describe_pipeline(PipelineName=name)
        finally:
            _remove(deployment, trial)
    return f"SageMaker takes all {len(definition):,} characters of it"


def _make_role(iam: Any, trial: str, name: str) -> str:
    """Make a role that may do nothing."""
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    made = iam.create_role(RoleName=name, Path=f"/{trial}/", AssumeRolePolicyDocument=policy)
    return str(made["Role"]["Arn"])


def _create(deployment: Deployment, name: str, role: str, definition: str, sleep: Sleep) -> None:
    from botocore.exceptions import ClientError

    for left in reversed(range(_TRIES)):
        try:
            deployment.client("sagemaker").create_pipeline(
                PipelineName=name, PipelineDefinition=definition, RoleArn=role
            )
        except ClientError as error:
            details = error.response["Error"]
            if details["Code"] != "ValidationException":
                raise
            if left and "assume" in details["Message"].lower():
                sleep(_PAUSE_SECONDS)
                continue
            raise NotReadyError(f"SageMaker refuses it: {' '.join(details['Message'].split())}") from None
        return


def _remove(deployment: Deployment, trial: str) -> None:
    """Remove every trial of this environment: this one, and what killed ones have left."""
    sagemaker, iam = deployment.client("sagemaker"), deployment.client("iam")
    for page in sagemaker.get_paginator("list_pipelines").paginate(PipelineNamePrefix=f"{trial}-"):
        for found in page["PipelineSummaries"]:
            sagemaker.delete_pipeline(PipelineName=found["PipelineName"])
    for page in iam.get_paginator("list_roles").paginate(PathPrefix=f"/{trial}/"):
        for found in page["Roles"]:
            iam.delete_role(RoleName=found["RoleName"])
