"""The roles of the jobs and of the pipeline that creates them."""

from collections.abc import Mapping, Sequence
from typing import Any

from constructs import Construct

from infra.template.access import Access, DefinedAccess
from infra.template.network import Network
from infra.template.statements import allow, grant, reading, service_role, through_s3, writing
from pipelines.definition.step_table import ROLES, images
from pipelines.environment import Environment

_LOG_GROUPS = ("ProcessingJobs", "TrainingJobs")
# SageMaker asks for these to place a job in a network, and refuses a processing job whose role has any of them with a
# condition or for some resources only. Which network a job is in is told by the conditions on creating it.
_PLACE = (
    "ec2:CreateNetworkInterface CreateNetworkInterfacePermission DeleteNetworkInterface "
    "DeleteNetworkInterfacePermission DescribeNetworkInterfaces DescribeVpcs DescribeDhcpOptions DescribeSubnets "
    "DescribeSecurityGroups"
)


def add_job_roles(
    stack: Any, environment: Environment, defined: DefinedAccess, *, network: Network, key_arn: str
) -> Any:
    """Add the roles data, training and judge, each with what the definition's jobs do in S3; return the pipeline's."""
    scope = Construct(stack, "Roles")
    accesses = defined.of_jobs()
    for duty, what in ROLES.items():
        access = accesses.get(environment.role_arn(duty), Access())
        grant(
            service_role(scope, environment, duty, service="sagemaker", what=what),
            [
                *reading(environment, sorted(access.reads)),
                writing(environment, access.writes),
                through_s3(environment, key_arn),
                *_images(environment, images(duty)),
                *_telling(environment),
                *_volumes(key_arn),
                allow("KeyOfOutputs", "kms:Encrypt", [key_arn]),
                allow("Place", _PLACE, ["*"]),
            ],
        )
    what = "Runs the pipeline: creates its jobs"
    pipeline = service_role(scope, environment, "pipeline", service="sagemaker", what=what)
    grant(pipeline, _orchestrating(environment, defined.of_pipeline(), network, key_arn))
    return pipeline


def _images(environment: Environment, names: Sequence[str]) -> list[Any]:
    repositories = [environment.arn("ecr", f"repository/{environment.repository(name)}") for name in names]
    return [
        allow("Pull", "ecr:BatchCheckLayerAvailability BatchGetImage GetDownloadUrlForLayer", repositories),
        allow("LogIn", "ecr:GetAuthorizationToken", ["*"]),
    ]


def _telling(environment: Environment) -> list[Any]:
    """Allow logs and metrics, where SageMaker writes those of every job."""
    groups = [environment.arn("logs", f"log-group:/aws/sagemaker/{name}:*") for name in _LOG_GROUPS]
    namespaces = [f"/aws/sagemaker/{name}" for name in _LOG_GROUPS]
    return [
        allow("Log", "logs:CreateLogGroup CreateLogStream DescribeLogStreams PutLogEvents", groups),
        allow("Measure", "cloudwatch:PutMetricData", ["*"], {"StringEquals": {"cloudwatch:namespace": namespaces}}),
    ]


def _volumes(key_arn: str) -> list[Any]:
    """Allow to encrypt volumes, by a grant to the service."""
    return [
        allow("KeyOfVolumes", "kms:CreateGrant", [key_arn], {"Bool": {"kms:GrantIsForAWSResource": "true"}}),
        allow("KnowKey", "kms:DescribeKey", [key_arn]),
    ]


def _orchestrating(environment: Environment, access: Access, network: Network, key_arn: str) -> list[Any]:
    # The service names jobs after the execution or the step; what may be created is told by conditions, not by names.
    kinds = ("processing-job", "training-job", "hyper-parameter-tuning-job")
    jobs = [environment.arn("sagemaker", f"{kind}/*") for kind in kinds]
    create, describe, stop = (
        " ".join(f"{verb}{job}" for job in ("ProcessingJob", "TrainingJob", "HyperParameterTuningJob"))
        for verb in ("Create", "Describe", "Stop")
    )
    return [
        allow("Create", f"sagemaker:{create}", jobs, _as_we_run_jobs(network, key_arn)),
        allow("Follow", f"sagemaker:{describe} {stop} AddTags ListTags", jobs),
        allow("FollowTrials", "sagemaker:ListTrainingJobsForHyperParameterTuningJob", jobs[2:]),
        allow(
            "PassToJobs",
            "iam:PassRole",
            [environment.role_arn(duty) for duty in ROLES],
            {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        *_registering(environment),
        *reading(environment, sorted(access.reads)),
        through_s3(environment, key_arn),
        *_volumes(key_arn),
    ]


def _as_we_run_jobs(network: Network, key_arn: str) -> Mapping[str, Mapping[str, Any]]:
    """Return what every job has to be: in our network, isolated, encrypted with our key."""
    return {
        "Bool": {"sagemaker:NetworkIsolation": "true", "sagemaker:InterContainerTrafficEncryption": "true"},
        "ForAllValues:StringEquals": {
            "sagemaker:VpcSubnets": list(network.subnets),
            "sagemaker:VpcSecurityGroupIds": [network.security_group],
        },
        # An empty set would satisfy "all values".
        "Null": {"sagemaker:VpcSubnets": "false", "sagemaker:VpcSecurityGroupIds": "false"},
        "ArnEquals": {"sagemaker:OutputKmsKey": key_arn},
        # Instances with disks of their own (g4dn, g5) encrypt these themselves and refuse a key.
        "ArnEqualsIfExists": {"sagemaker:VolumeKmsKey": key_arn},
    }


def _registering(environment: Environment) -> list[Any]:
    group = environment.model_package_group
    # SageMaker writes the names of packages in lower case.
    packages = environment.arn("sagemaker", f"model-package/{group.lower()}/*")
    groups = environment.arn("sagemaker", f"model-package-group/{group}")
    pending = {"StringEquals": {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}}
    image = environment.arn("ecr", f"repository/{environment.repository('model')}")
    return [
        allow("Register", "sagemaker:CreateModelPackage", [packages, groups], pending),
        allow("Registered", "sagemaker:DescribeModelPackage DescribeModelPackageGroup AddTags", [packages, groups]),
        allow("KnowImage", "ecr:BatchGetImage DescribeImages", [image]),
    ]
