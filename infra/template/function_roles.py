"""The roles of the functions and of the people: who starts, who approves, who releases."""

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.options import Options
from infra.template.statements import allow, grant, listing, objects, reading, service_role, through_s3, writing
from pipelines.data.erasure import ARTIFACT_PREFIXES, DATA_PREFIXES
from pipelines.data.withdrawals import WITHDRAWN
from pipelines.definition.settings import CHAMPIONS, LEDGER, LEDGERS
from pipelines.definition.step_table import CONVERT, EVALUATE
from pipelines.environment import Environment
from steps.core.dataset.plan import DATASETS, FACTS, FEATURES, TILES
from steps.core.dataset.snapshot import AD_HOC

_BUNDLE = f"runs/*/{CONVERT.name}/bundle"


def add_function_roles(stack: Any, environment: Environment, keys: Any, may_record: Any) -> Mapping[str, Any]:
    """Return the roles of the functions: starter, publisher and recorder."""
    scope = Construct(stack, "FunctionRoles")
    artifacts, through = environment.artifact_bucket, through_s3(environment, keys.data.key_arn)
    releases, mlflow = [f"{environment.release_bucket}/*"], [f"{artifacts}/mlflow/*"]
    known = [f"{artifacts}/registry/*", f"{artifacts}/{_BUNDLE}/model.tar.gz"]
    results = [f"{artifacts}/runs/*", f"{environment.data_bucket}/{DATASETS}/*"]
    duties = {
        "starter": ("Holds the nights: starts this one pipeline", nights(environment, keys.data.key_arn)),
        "publisher": (
            "Signs releases, and alone writes them",
            [
                *reading(environment, [*known, *releases]),
                writing(environment, releases),
                through,
                _registry(environment),
                allow("Sign", "kms:Sign GetPublicKey", [keys.signing.key_arn]),
            ],
        ),
        "recorder": (
            "Records executions in MLflow, after they have ended",
            [
                *reading(environment, [*results, *mlflow]),
                writing(environment, mlflow),
                through,
                *_following(environment),
                *_recounting(environment),
                may_record,
            ],
        ),
    }
    roles = {}
    for name, (what, statements) in duties.items():
        every = [*statements, *_function(environment, name, keys.operations.key_arn)]
        # A function's own ARN as source would be a circle: the role is made first.
        roles[name] = service_role(scope, environment, name, every, service="lambda", what=what)
    return roles


def nights(environment: Environment, key_arn: str) -> list[Any]:
    """Return what a night does: take in batches, look at what was decided, start this pipeline and no other."""
    data, artifacts = environment.data_bucket, environment.artifact_bucket
    into_data = [f"{data}/{prefix}/*" for prefix in ("inbox", "labelled", "catalogue", DATASETS, "plans")]
    known = [f"{data}/{prefix}/*" for prefix in (FACTS, TILES, FEATURES, WITHDRAWN)]
    into_artifacts = [f"{artifacts}/{prefix}/*" for prefix in ("nights", CHAMPIONS, LEDGERS, "weights")]
    results = [f"{artifacts}/{prefix}/*" for prefix in (LEDGER, "registry", "runs")]
    return [
        *reading(environment, [*into_data, *known, *into_artifacts, *results]),
        writing(environment, [*into_data, *into_artifacts]),
        allow("EmptyInbox", "s3:DeleteObject", objects(environment, [f"{data}/inbox/*"])),
        through_s3(environment, key_arn),
        _registry(environment),
        allow(
            "StartThisPipeline",
            "sagemaker:StartPipelineExecution DescribePipeline ListPipelineExecutions",
            [environment.pipeline_arn],
        ),
        *_following(environment),
    ]


def _following(environment: Environment) -> list[Any]:
    """Allow to see how executions stand, and why one ended."""
    actions = "sagemaker:DescribePipelineExecution ListPipelineExecutionSteps"
    return [
        allow("Follow", actions, [f"{environment.pipeline_arn}/execution/*"]),
        allow("FollowJobs", "sagemaker:DescribeProcessingJob", [environment.arn("sagemaker", "processing-job/*")]),
    ]


def _recounting(environment: Environment) -> list[Any]:
    """Allow to look at all else that an execution did: its parameters, its trainings, each trial of its tuning."""
    parameters = "sagemaker:ListPipelineParametersForExecution DescribePipelineDefinitionForExecution"
    trials = "sagemaker:DescribeHyperParameterTuningJob ListTrainingJobsForHyperParameterTuningJob"
    tunings = environment.arn("sagemaker", "hyper-parameter-tuning-job/*")
    return [
        allow("Recount", parameters, [f"{environment.pipeline_arn}/execution/*"]),
        allow("RecountTrainings", "sagemaker:DescribeTrainingJob", [environment.arn("sagemaker", "training-job/*")]),
        allow("RecountTrials", trials, [tunings]),
    ]


def _registry(environment: Environment) -> Any:
    actions = "sagemaker:DescribeModelPackage DescribeModelPackageGroup ListModelPackages"
    return allow("Registry", actions, _packages(environment))


def _packages(environment: Environment) -> list[str]:
    group = environment.model_package_group
    return [
        environment.arn("sagemaker", f"model-package-group/{group}"),
        # SageMaker writes the names of packages in lower case; a listing is of the group's name as it is.
        *(environment.arn("sagemaker", f"model-package/{name}/*") for name in sorted({group, group.lower()})),
    ]


def _function(environment: Environment, name: str, key_arn: str) -> list[Any]:
    """Allow what every function does: write its log, and leave what it could not do to its dead letters."""
    log = environment.arn("logs", f"log-group:/aws/lambda/{environment.function(name)}:*")
    letters = environment.arn("sqs", f"{environment.function(name)}-dead-letters")
    return [
        allow("Log", "logs:CreateLogStream PutLogEvents", [log]),
        allow("DeadLetters", "sqs:SendMessage", [letters]),
        allow("KeyOfLetters", "kms:Decrypt GenerateDataKey", [key_arn]),
    ]


def add_people(stack: Any, environment: Environment, options: Options, keys: Any) -> None:
    """Add the roles that people take on: the approver decides on versions, the operator runs things."""
    scope = Construct(stack, "People")
    artifacts, key_arn = environment.artifact_bucket, keys.data.key_arn
    releases, datasets = f"{environment.release_bucket}/*", f"{environment.data_bucket}/{DATASETS}/*"
    reports = [f"{artifacts}/{place}/*" for place in ("registry", _BUNDLE, f"runs/*/{EVALUATE.name}/evaluation")]
    public_key = allow("PublicKey", "kms:GetPublicKey Verify", [keys.signing.key_arn])
    decides = "Decides on model versions, and releases them"
    grant(
        _person(scope, environment, "approver", options.approvers, decides),
        [
            *reading(environment, [*reports, datasets, releases]),
            writing(environment, [f"{artifacts}/registry/*"]),
            through_s3(environment, key_arn),
            _registry(environment),
            allow("Decide", "sagemaker:UpdateModelPackage", _packages(environment)[1:]),
            _invoke(environment, "publisher"),
            public_key,
        ],
    )
    functions = [f"/aws/lambda/{environment.function(name)}" for name in ("starter", "publisher", "recorder")]
    logs = ["/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TrainingJobs", *functions]
    groups = [environment.arn("logs", f"log-group:{name}:*") for name in logs]
    stopping, executions = "sagemaker:StopPipelineExecution UpdatePipelineExecution", environment.pipeline_arn
    runs = "Adds data and takes them back, starts, follows and stops runs"
    grant(
        _person(scope, environment, "operator", options.operators, runs),
        [
            *nights(environment, key_arn),
            *_erasing(environment),
            *_recounting(environment),
            *listing(environment, [releases]),
            allow("ReadReleases", "s3:GetObject", objects(environment, [releases])),
            allow("Stop", stopping, [f"{executions}/execution/*"]),
            _invoke(environment, "starter"),
            allow("Logs", "logs:DescribeLogStreams GetLogEvents FilterLogEvents", groups),
            public_key,
        ],
    )


def _erasing(environment: Environment) -> list[Any]:
    """Allow to withdraw batches, and to erase screenshots: old versions too, and pages and tables to be less."""
    data, artifacts = environment.data_bucket, environment.artifact_bucket
    delivered = ("inbox/", "labelled/")
    readable = [f"{data}/{prefix}*" for prefix in DATA_PREFIXES]
    readable += [f"{artifacts}/{prefix}*" for prefix in ARTIFACT_PREFIXES]
    rewritten = [f"{data}/{prefix}*" for prefix in DATA_PREFIXES if prefix not in delivered]
    rewritten += [f"{artifacts}/{prefix}*.{kind}" for prefix in ARTIFACT_PREFIXES for kind in ("html", "parquet")]
    deliveries = [f"{data}/{prefix}*" for prefix in delivered]
    pieces = [f"{artifacts}/{prefix}*.tfrecord" for prefix in ARTIFACT_PREFIXES]
    return [
        allow("Withdraw", "s3:PutObject", objects(environment, [f"{data}/{WITHDRAWN}/*"])),
        allow("Rewrite", "s3:PutObject", objects(environment, rewritten)),
        allow("EraseVersions", "s3:DeleteObjectVersion", objects(environment, [*rewritten, *pieces, *deliveries])),
        allow("ReadVersions", "s3:GetObjectVersion", objects(environment, readable)),
        *listing(environment, readable, action="ListBucketVersions"),
        *listing(environment, [f"{data}/{AD_HOC.catalogue}/*"], sid="AdHoc"),
    ]


def _invoke(environment: Environment, name: str) -> Any:
    return allow(
        "Invoke", "lambda:InvokeFunction", [environment.arn("lambda", f"function:{environment.function(name)}")]
    )


def _person(scope: Any, environment: Environment, duty: str, arns: Sequence[str], what: str) -> Any:
    """Return a role that people take on with a second factor; the deployment's own roles never do."""
    people = [iam.ArnPrincipal(arn) for arn in arns] or [iam.AccountRootPrincipal()]
    role = iam.Role(
        scope,
        duty.capitalize(),
        role_name=environment.role(duty),
        description=what,
        assumed_by=iam.PrincipalWithConditions(
            iam.CompositePrincipal(*people) if len(people) > 1 else people[0],
            {"Bool": {"aws:MultiFactorAuthPresent": "true"}},
        ),
    )
    ours = environment.role_arn("*")
    role.assume_role_policy.add_statements(
        iam.PolicyStatement(
            sid="NoRoleOfTheDeployment",
            effect=iam.Effect.DENY,
            principals=[iam.AnyPrincipal()],
            actions=["sts:AssumeRole"],
            conditions={"ArnLike": {"aws:PrincipalArn": ours}},
        )
    )
    return role
