"""The two stacks of an environment, put together."""

import functools
import json
from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from constructs import Construct

from infra.options import Images, Options, check_people
from infra.template.alarms import add_alarms, add_budget, add_topic
from infra.template.buckets import add_buckets
from infra.template.events import add_alerts, add_calls
from infra.template.function_roles import add_function_roles, add_people
from infra.template.functions import add_dead_letters, add_function, add_schedule
from infra.template.job_roles import DefinedAccess, add_job_roles
from infra.template.keys import add_key, add_keys, kept
from infra.template.network import add_network
from infra.template.pipeline import add_pipeline, compile_minified, placeholder_settings
from infra.template.statements import allow
from infra.template.tracking import add_tracking
from pipelines.environment import Environment


def add_images_stack(app: Any, environment: Environment) -> None:
    """Add the stack that has to be there before an image can be pushed: a repository for each, and their key."""
    stack = _stack(app, environment, environment.images_stack)
    key = add_key(stack, environment, "Key", "images", "container images")
    for image in ("data", "model", "control"):
        repository = ecr.Repository(
            stack,
            image.capitalize(),
            repository_name=environment.repository(image),
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            encryption=ecr.RepositoryEncryption.KMS,
            encryption_key=key,
            removal_policy=kept(environment),
            empty_on_delete=environment.name == "dev",
            lifecycle_rules=[
                ecr.LifecycleRule(
                    description="What lost its tag",
                    tag_status=ecr.TagStatus.UNTAGGED,
                    max_image_age=cdk.Duration.days(14),
                    rule_priority=1,
                ),
                ecr.LifecycleRule(
                    description="The newest",
                    tag_status=ecr.TagStatus.ANY,
                    max_image_count=50,
                    rule_priority=2,
                ),
            ],
        )
        if image == "control":
            ours = {"ArnLike": {"aws:SourceArn": environment.arn("lambda", f"function:{environment.project}-*")}}
            pulling = "ecr:BatchGetImage GetDownloadUrlForLayer"
            repository.add_to_resource_policy(allow("FunctionsPull", pulling, [], ours, service="lambda"))


def add_main_stack(app: Any, environment: Environment, images: Images, options: Options) -> None:
    """Add the stack of everything else. Compiles the pipeline, which takes seconds."""
    check_people(options, environment)
    settings = placeholder_settings(environment, images, **options.of_training())
    definition = compile_minified(settings)
    stack = _stack(app, environment, environment.project)
    keys = add_keys(stack, environment)
    artifacts = add_buckets(stack, environment, keys.data)
    network = add_network(stack, environment, options.s3_prefix_list, keys.operations)
    defined = DefinedAccess(json.loads(definition), settings)
    key_arn = keys.data.key_arn
    role = add_job_roles(stack, environment, defined, network=network, key_arn=key_arn)
    add_pipeline(stack, environment, definition, network=network, key_arn=key_arn, role=role)
    mlflow, may_record = add_tracking(stack, environment, options, key_arn)
    roles = add_function_roles(stack, environment, keys, may_record)
    add_people(stack, environment, options, keys)
    _control(stack, environment, images, options, roles=roles, key=keys.operations, mlflow=mlflow)
    stack.node.find_child("Tracking").node.add_dependency(artifacts)


def _control(
    stack: Any,
    environment: Environment,
    images: Images,
    options: Options,
    *,
    roles: Mapping[str, Any],
    key: Any,
    mlflow: str,
) -> None:
    """Add the functions, what calls them, and the alarms."""
    add = functools.partial(add_function, stack, environment, image=images.control, key=key)
    nights = {
        "TILEGATE_MIN_NEW_LABELS": str(options.min_new_labels),
        "TILEGATE_MAX_AGE_DAYS": str(options.max_age_days),
        "TILEGATE_PARAMETERS": json.dumps(options.of_runs(), sort_keys=True),
    }
    releases = {"TILEGATE_CHANNEL": options.channel, "TILEGATE_PERCENT": str(options.rollout_percent)}
    if options.trusted_keys:
        releases["TILEGATE_TRUSTED_KEYS"] = " ".join(options.trusted_keys)
    records = {"TILEGATE_TRACKING_URI": mlflow}
    starter = add("starter", role=roles["starter"], at_once=1, timeout=900, memory=3008, variables=nights)
    publisher = add("publisher", role=roles["publisher"], at_once=2, timeout=300, memory=1769, variables=releases)
    recorder = add("recorder", role=roles["recorder"], at_once=1, timeout=300, memory=1769, variables=records)
    add_schedule(stack, environment, options, starter, key)
    add_calls(stack, environment, publisher=publisher, recorder=recorder)
    topic = add_topic(stack, environment, options, key)
    letters = add_dead_letters(Construct(stack, "AlertLetters"), f"{environment.project}-alerts", key)
    add_alerts(stack, environment, topic.topic_arn, letters)
    functions = (starter, publisher, recorder)
    add_alarms(stack, environment, options, topic.topic_arn, functions=functions, alert_letters=letters)
    add_budget(stack, environment, options, topic.topic_arn)


def _stack(app: Any, environment: Environment, name: str) -> Any:
    stack = cdk.Stack(
        app,
        name,
        stack_name=name,
        env=cdk.Environment(account=environment.account, region=environment.region),
        # Nothing has to be uploaded, so the account needs no bootstrap stack.
        synthesizer=cdk.LegacyStackSynthesizer(),
    )
    cdk.Tags.of(stack).add("project", environment.project)
    cdk.Tags.of(stack).add("environment", environment.name)
    return stack
