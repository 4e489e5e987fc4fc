"""The roles of the jobs and of the pipeline that creates them.

Their access to S3 is taken from the definition that the jobs run: this, and nothing else, they get. A location is
`<bucket>/<key>`, where `*` stands for an execution, a job, or whatever lies under a prefix.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from constructs import Construct

from infra.template.network import Network
from infra.template.statements import allow, reading, service_role, through_s3, writing
from pipelines.definition.requests import all_steps
from pipelines.definition.settings import CHAMPIONS, CHECKPOINTS, LEDGERS, Settings
from pipelines.definition.step_table import ROLES, images
from pipelines.environment import Environment
from steps.core.dataset.plan import DATASETS, FACTS, FEATURES, FEATURES_MANIFEST, SHARDS_MANIFEST, TILES

_OUTPUT = re.compile(r"Steps\.(\w+)\.ProcessingOutputConfig\.Outputs\['([\w-]+)'\]\.S3Output\.S3Uri")
_MODEL = re.compile(r"Steps\.(\w+)\.ModelArtifacts\.S3ModelArtifacts")
_LISTED_BY_STEP = {SHARDS_MANIFEST: (TILES,), FEATURES_MANIFEST: (FEATURES,)}
_LISTED_BY_PLAN = ("labelled", "catalogue", DATASETS, FACTS, TILES)
# SageMaker asks for these to place a job in a network, and refuses a processing job whose role has any of them with a
# condition or for some resources only. Which network a job is in is told by the conditions on creating it.
_PLACE = (
    "ec2:CreateNetworkInterface CreateNetworkInterfacePermission DeleteNetworkInterface "
    "DeleteNetworkInterfacePermission DescribeNetworkInterfaces DescribeVpcs DescribeDhcpOptions DescribeSubnets "
    "DescribeSecurityGroups"
)


@dataclass(slots=True)
class Access:
    """What one role reads and writes."""

    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)


class DefinedAccess:
    """The accesses of a definition that was compiled of `settings`."""

    def __init__(self, definition: Mapping[str, Any], settings: Settings) -> None:
        self._settings = settings
        self._steps = {step["Name"]: step for step in all_steps(definition)}
        self._prefixes = {
            "DatasetUri": settings.uri(DATASETS, "*"),
            "PlanUri": settings.uri("plans", "*"),
            "PretrainedWeightsUri": settings.artifact_uri("weights", "*"),
            "CheckpointsUri": settings.artifact_uri(CHECKPOINTS, "*"),
            "ChampionUri": settings.artifact_uri(CHAMPIONS, "*"),
            "LedgerUri": settings.artifact_uri(LEDGERS, "*"),
        }

    def of_jobs(self) -> dict[str, Access]:
        """Return what the jobs of each role do, by the role's ARN."""
        found: dict[str, Access] = {}
        for step in self._steps.values():
            job = step["Arguments"].get("TrainingJobDefinition", step["Arguments"])
            if "RoleArn" not in job:
                continue
            access = found.setdefault(job["RoleArn"], Access())
            sources = [given["S3Input"] for given in job.get("ProcessingInputs", ())]
            sources += [channel["DataSource"]["S3DataSource"] for channel in job.get("InputDataConfig", ())]
            for source in sources:
                access.reads |= self._input(source)
            outputs = [made["S3Output"]["S3Uri"] for made in job.get("ProcessingOutputConfig", {}).get("Outputs", ())]
            outputs += [job["OutputDataConfig"]["S3OutputPath"]] if "OutputDataConfig" in job else []
            access.writes |= {_location(self._resolved(uri)) for uri in outputs}
            if "CheckpointConfig" in job:
                checkpoints = _location(self._resolved(job["CheckpointConfig"]["S3Uri"]))
                access.reads.add(checkpoints)
                access.writes.add(checkpoints)
        return found

    def of_pipeline(self) -> Access:
        """Return what the pipeline itself reads: property files, and what it registers."""
        access = Access()
        for step in self._steps.values():
            for file in step.get("PropertyFiles", []):
                access.reads.add(_location(f"{self._output(step['Name'], file['OutputName'])}/{file['FilePath']}"))
            if step["Type"] == "RegisterModel":
                access.reads |= {_location(uri) for uri in self._uris(step["Arguments"])}
        return access

    def _input(self, source: Mapping[str, Any]) -> set[str]:
        uri = self._resolved(source["S3Uri"])
        if source["S3DataType"] != "ManifestFile":
            return {_location(uri)}
        listed = _LISTED_BY_STEP.get(uri.rpartition("/")[2], _LISTED_BY_PLAN)
        return {_location(uri), *(_location(self._settings.uri(prefix)) for prefix in listed)}

    def _output(self, step: str, name: str) -> str:
        outputs = self._steps[step]["Arguments"]["ProcessingOutputConfig"]["Outputs"]
        return self._resolved(next(o["S3Output"]["S3Uri"] for o in outputs if o["OutputName"] == name))

    def _uris(self, value: Any) -> Iterator[str]:
        """Yield every URI of S3 in a request."""
        if isinstance(value, list):
            for item in value:
                yield from self._uris(item)
        elif isinstance(value, Mapping):
            for name, item in value.items():
                if name in ("ModelDataUrl", "S3Uri"):
                    yield self._resolved(item)
                else:
                    yield from self._uris(item)

    def _resolved(self, value: Any) -> str:
        """Return a URI with `*` for what only an execution knows; raises ValueError for what is no URI of ours."""
        if isinstance(value, str):
            return value
        if "Std:Join" in value:
            join = value["Std:Join"]
            return str(join["On"]).join(self._resolved(part) for part in join["Values"])
        name = str(value.get("Get", ""))
        if name.startswith("Execution."):
            return "*"
        if name.removeprefix("Parameters.") in self._prefixes:
            return self._prefixes[name.removeprefix("Parameters.")]
        if match := _OUTPUT.fullmatch(name):
            return self._output(match[1], match[2])
        if match := _MODEL.fullmatch(name):
            output = self._steps[match[1]]["Arguments"]["OutputDataConfig"]["S3OutputPath"]
            return f"{self._resolved(output)}/*/output/model.tar.gz"
        raise ValueError(f"{value} is no location that infra.template.job_roles knows: add what a start may give there")


def _location(uri: str) -> str:
    """Return `<bucket>/<key>`: of an object as it is, of a prefix with all that lies under it."""
    location = uri.removeprefix("s3://").rstrip("/")
    is_object = "." in location.rpartition("/")[2]
    return location if is_object or location.endswith("/*") else f"{location}/*"


def add_job_roles(
    stack: Any, environment: Environment, defined: DefinedAccess, *, network: Network, key_arn: str
) -> Any:
    """Add the roles data, training and judge, each with what the definition's jobs do in S3; return the pipeline's."""
    scope, accesses = Construct(stack, "Roles"), defined.of_jobs()
    # Logs and metrics, where SageMaker writes those of every job.
    kinds = ("ProcessingJobs", "TrainingJobs")
    groups = [environment.arn("logs", f"log-group:/aws/sagemaker/{kind}:*") for kind in kinds]
    namespaces = {"StringEquals": {"cloudwatch:namespace": [f"/aws/sagemaker/{kind}" for kind in kinds]}}
    for duty, what in ROLES.items():
        access = accesses.get(environment.role_arn(duty), Access())
        repositories = [environment.arn("ecr", f"repository/{environment.repository(name)}") for name in images(duty)]
        duties = [
            *reading(environment, sorted(access.reads)),
            writing(environment, access.writes),
            through_s3(environment, key_arn),
            allow("Pull", "ecr:BatchCheckLayerAvailability BatchGetImage GetDownloadUrlForLayer", repositories),
            allow("LogIn", "ecr:GetAuthorizationToken", ["*"]),
            allow("Log", "logs:CreateLogGroup CreateLogStream DescribeLogStreams PutLogEvents", groups),
            allow("Measure", "cloudwatch:PutMetricData", ["*"], namespaces),
            *_volumes(key_arn),
            allow("KeyOfOutputs", "kms:Encrypt", [key_arn]),
            allow("Place", _PLACE, ["*"]),
        ]
        service_role(scope, environment, duty, duties, service="sagemaker", what=what)
    duties = _orchestrating(environment, defined.of_pipeline(), network, key_arn)
    what = "Runs the pipeline: creates its jobs"
    return service_role(scope, environment, "pipeline", duties, service="sagemaker", what=what)


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
