"""CloudFormation types that moto skips without a word, and those that it makes otherwise than the template says.

What no test looks at is made as a name alone, so that a stack is whole: networks' endpoints and logs, MLflow.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

from moto.awslambda.models import lambda_backends
from moto.budgets.models import budgets_backends
from moto.cloudformation import parsing
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.common_models import CloudFormationModel
from moto.kms import models as kms
from moto.s3 import models as s3
from moto.sagemaker.models import sagemaker_backends
from moto.scheduler.models import scheduler_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

_NAMED_ONLY = (
    "AWS::SageMaker::MlflowApp",
    "AWS::SageMaker::MlflowTrackingServer",
    "AWS::EC2::FlowLog",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::VPCEndpoint",
)
_ARNS = {
    "AWS::SageMaker::MlflowApp": "arn:aws:sagemaker:{region}:{account}:mlflow-app/{name}",
    "AWS::SageMaker::MlflowTrackingServer": "arn:aws:sagemaker:{region}:{account}:mlflow-tracking-server/{name}",
}
# Looked up by moto for every stack anew, from caches that know nothing of what is taught here.
_CACHES = (parsing.get_model_map, parsing.get_name_type_map)


class Taught(CloudFormationModel):
    """A type made by `create`: of (properties, logical id, account, region) it gives the physical id."""

    kind, name_property = "", None
    create: Callable[..., str]

    def __init__(self, physical, account, region):
        self.physical, self.account, self.region = physical, account, region

    @property
    def physical_resource_id(self):
        return self.physical

    @classmethod
    def cloudformation_name_type(cls):
        return cls.name_property

    @classmethod
    def cloudformation_type(cls):
        return cls.kind

    @classmethod
    def has_cfn_attr(cls, attr):
        return attr in ("Arn", "Id")

    def get_cfn_attribute(self, attribute_name):
        arn = _ARNS.get(self.kind, "{name}") if attribute_name == "Arn" else "{name}"
        return arn.format(region=self.region, account=self.account, name=self.physical)

    @classmethod
    def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **_):
        made = cls.create(cloudformation_json.get("Properties", {}), resource_name, account_id, region_name)
        return cls(made, account_id, region_name)

    @classmethod
    def update_from_cloudformation_json(cls, original_resource, new_resource_name, **rest):  # noqa: ARG003
        return cls.create_from_cloudformation_json(new_resource_name, **rest)

    @classmethod
    def delete_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name):
        """What it made goes with moto's backends, at the end of the test."""

    def delete(self, account_id=None, region_name=None):
        """See above."""

    def is_created(self):
        return True


def _resource(kind: str, name_property: str | None, create: Callable[..., str]) -> type[CloudFormationModel]:
    # moto takes the service's name from the second part of the module's.
    known = {"__module__": "moto.tilegate_tests", "kind": kind, "name_property": name_property}
    return type(kind.replace("::", "_"), (Taught,), known | {"create": staticmethod(create)})


def _named(p, name, account, region):
    return p.get("Name") or p.get("TrackingServerName") or name


def _pipeline(p, name, account, region):
    backend = sagemaker_backends[account][region]
    body = p["PipelineDefinition"]["PipelineDefinitionBody"]
    known = {
        "pipeline_description": p.get("PipelineDescription"),
        "role_arn": p["RoleArn"],
        "parallelism_configuration": p.get("ParallelismConfiguration"),
        "pipeline_definition": body,
    }
    if p["PipelineName"] in backend.pipelines:
        backend.update_pipeline(p["PipelineName"], **known)
    else:
        backend.create_pipeline(
            pipeline_name=p["PipelineName"],
            pipeline_display_name=p["PipelineName"],
            pipeline_definition_s3_location=None,
            tags=p.get("Tags") or [],
            **known,
        )
    return p["PipelineName"]


def _group(p, name, account, region):
    backend = sagemaker_backends[account][region]
    group = p["ModelPackageGroupName"]
    if group not in backend.model_package_groups:
        backend.create_model_package_group(group, p.get("ModelPackageGroupDescription"), p.get("Tags") or [])
    return f"arn:aws:sagemaker:{region}:{account}:model-package-group/{group}"


def _schedule(p, name, account, region):
    backend, group = scheduler_backends[account][region], p.get("GroupName", "default")
    known = {
        "description": p.get("Description"),
        "end_date": None,
        "flexible_time_window": p["FlexibleTimeWindow"],
        "group_name": group,
        "kms_key_arn": p.get("KmsKeyArn"),
        "name": p["Name"],
        "schedule_expression": p["ScheduleExpression"],
        "schedule_expression_timezone": p.get("ScheduleExpressionTimezone"),
        "start_date": None,
        "state": p["State"],
        "target": p["Target"],
    }
    if p["Name"] in backend.schedule_groups[group].schedules:
        backend.update_schedule(**known)
    else:
        backend.create_schedule(**known, action_after_completion=None)
    return p["Name"]


def _bucket_policy(p, name, account, region):
    s3.s3_backends[account]["aws"].put_bucket_policy(p["Bucket"], json.dumps(p["PolicyDocument"]).encode())
    return p["Bucket"]


def _queue_policy(p, name, account, region):
    for url in p["Queues"]:
        queue = url.rpartition("/")[2]
        attributes = {"Policy": json.dumps(p["PolicyDocument"])}
        sqs_backends[account][region].set_queue_attributes(queue, attributes)
    return name


def _topic_policy(p, name, account, region):
    for topic in p["Topics"]:
        sns_backends[account][region].set_topic_attribute(topic, "policy", json.dumps(p["PolicyDocument"]))
    return name


def _alarm(p, name, account, region):
    cloudwatch_backends[account][region].put_metric_alarm(
        name=p["AlarmName"],
        namespace=p["Namespace"],
        metric_name=p["MetricName"],
        comparison_operator=p["ComparisonOperator"],
        evaluation_periods=p["EvaluationPeriods"],
        period=p["Period"],
        threshold=p["Threshold"],
        statistic=p["Statistic"],
        description=p["AlarmDescription"],
        dimensions=p.get("Dimensions", []),
        alarm_actions=p["AlarmActions"],
        treat_missing_data=p["TreatMissingData"],
    )
    return p["AlarmName"]


def _budget(p, name, account, region):
    budgets_backends[account]["aws"].create_budget(account, p["Budget"], p.get("NotificationsWithSubscribers", []))
    return p["Budget"]["BudgetName"]


def _function(p, name, account, region):
    """Make a function with its image's command, which moto's own way drops."""
    lambda_backends[account][region].create_function(p | {"KMSKeyArn": p.get("KmsKeyArn")})
    return p["FunctionName"]


def _delivery(p, name, account, region):
    how = {key: p[key] for key in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig") if key in p}
    lambda_backends[account][region].put_function_event_invoke_config(p["FunctionName"], how)
    return f"{p['FunctionName']}-{name}"


def _alias(p, name, account, region):
    kms.kms_backends[account][region].create_alias(p["TargetKeyId"].rpartition("/")[2], p["AliasName"])
    return p["AliasName"]


_TAUGHT = (
    _resource("AWS::SageMaker::Pipeline", "PipelineName", _pipeline),
    _resource("AWS::SageMaker::ModelPackageGroup", "ModelPackageGroupName", _group),
    _resource("AWS::Scheduler::Schedule", "Name", _schedule),
    _resource("AWS::S3::BucketPolicy", None, _bucket_policy),
    _resource("AWS::SQS::QueuePolicy", None, _queue_policy),
    _resource("AWS::SNS::TopicPolicy", None, _topic_policy),
    _resource("AWS::CloudWatch::Alarm", "AlarmName", _alarm),
    _resource("AWS::Budgets::Budget", None, _budget),
    _resource("AWS::Lambda::Function", "FunctionName", _function),
    _resource("AWS::Lambda::EventInvokeConfig", None, _delivery),
    _resource("AWS::KMS::Alias", "AliasName", _alias),
    *(_resource(kind, None, _named) for kind in _NAMED_ONLY),
)
_KINDS = {model.cloudformation_type() for model in _TAUGHT}


def _key(cls, resource_name, cloudformation_json, account_id, region_name, **_):
    """moto makes every key a symmetric one, and reads tags as if they were KMS's and not CloudFormation's."""
    p = cloudformation_json["Properties"]
    key = kms.kms_backends[account_id][region_name].create_key(
        policy=json.dumps(p["KeyPolicy"]),
        key_usage=p.get("KeyUsage", "ENCRYPT_DECRYPT"),
        key_spec=p.get("KeySpec", "SYMMETRIC_DEFAULT"),
        description=p.get("Description"),
        tags=[{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in p.get("Tags", [])],
    )
    key.key_rotation_status = p.get("EnableKeyRotation", False)
    return key


_create_bucket = s3.FakeBucket.create_from_cloudformation_json.__func__


def _bucket(cls, resource_name, cloudformation_json, account_id, region_name, **kwargs):
    """moto takes over a bucket's encryption, but not its versions."""
    bucket = _create_bucket(cls, resource_name, cloudformation_json, account_id, region_name, **kwargs)
    bucket.versioning_status = cloudformation_json["Properties"]["VersioningConfiguration"]["Status"]
    return bucket


@contextmanager
def taught_formation() -> Iterator[None]:
    """Let CloudFormation in moto make all that the stacks have."""
    everything = [model for model in parsing.get_model_list() if model.cloudformation_type() not in {"", *_KINDS}]
    with (
        mock.patch.object(parsing, "get_model_list", return_value=[*everything, *_TAUGHT]),
        mock.patch.object(kms.Key, "create_from_cloudformation_json", classmethod(_key)),
        mock.patch.object(s3.FakeBucket, "create_from_cloudformation_json", classmethod(_bucket)),
    ):
        _forget()
        try:
            yield
        finally:
            _forget()


def _forget() -> None:
    for cache in _CACHES:
        cache.cache_clear()
