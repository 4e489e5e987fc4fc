"""The two stacks of an environment, put together."""

import functools
import json
from typing import Any

import aws_cdk as cdk
from constructs import Construct

from infra.options import Images, Options, check_people
from infra.template.access import DefinedAccess
from infra.template.alarms import Alarms, add_budget, add_topic
from infra.template.buckets import add_buckets
from infra.template.events import add_alerts, add_approval, add_recording
from infra.template.function_roles import add_function_roles, add_people
from infra.template.functions import add_dead_letters, add_function
from infra.template.job_roles import add_job_roles
from infra.template.keys import add_keys
from infra.template.network import add_network
from infra.template.night import add_schedule
from infra.template.pipeline import add_pipeline, compile_minified, placeholder_settings
from infra.template.repositories import add_repositories
from infra.template.tracking import Tracking, add_tracking
from pipelines.environment import Environment


def add_images_stack(app: Any, environment: Environment) -> Any:
    """Add the stack of the repositories; it needs no image."""
    stack = _stack(app, environment, environment.images_stack)
    add_repositories(stack, environment)
    return stack


def add_main_stack(app: Any, environment: Environment, images: Images, options: Options) -> Any:
    """Add the stack of everything else. Compiles the pipeline, which takes seconds."""
    check_people(options, environment)
    settings = placeholder_settings(environment, images, **options.of_training())
    definition = compile_minified(settings)
    stack = _stack(app, environment, environment.project)
    keys = add_keys(stack, environment)
    buckets = add_buckets(stack, environment, keys.data)
    network = add_network(stack, environment, options.s3_prefix_list, keys.operations)
    defined = DefinedAccess(json.loads(definition), settings)
    roles = add_job_roles(stack, environment, defined, network=network, key=keys.data)
    add_pipeline(stack, environment, definition, network=network, key_arn=keys.data.key_arn, role=roles["pipeline"])
    tracking = add_tracking(stack, environment, options, keys.data.key_arn)
    _control(stack, environment, images, options, keys=keys, tracking=tracking)
    stack.node.find_child("Tracking").node.add_dependency(buckets.artifacts)
    return stack


def _control(
    stack: Any, environment: Environment, images: Images, options: Options, *, keys: Any, tracking: Tracking
) -> None:
    """Add what starts, releases and tells."""
    roles = add_function_roles(stack, environment, keys, tracking.may_record)
    add_people(stack, environment, options, keys)
    add = functools.partial(add_function, stack, environment, image=images.control, key=keys.operations)
    nights = {
        "TILEGATE_MIN_NEW_LABELS": str(options.min_new_labels),
        "TILEGATE_MAX_AGE_DAYS": str(options.max_age_days),
        "TILEGATE_PARAMETERS": json.dumps(options.of_runs(), sort_keys=True),
    }
    releases = {"TILEGATE_CHANNEL": options.channel, "TILEGATE_PERCENT": str(options.rollout_percent)}
    if options.trusted_keys:
        releases["TILEGATE_TRUSTED_KEYS"] = " ".join(options.trusted_keys)
    records = {"TILEGATE_TRACKING_URI": tracking.arn}
    starter = add("starter", role=roles["starter"], at_once=1, timeout=900, memory=3008, variables=nights)
    publisher = add("publisher", role=roles["publisher"], at_once=2, timeout=300, memory=1769, variables=releases)
    recorder = add("recorder", role=roles["recorder"], at_once=1, timeout=300, memory=1769, variables=records)
    add_schedule(stack, environment, options, starter, keys.operations)
    add_approval(stack, environment, publisher)
    add_recording(stack, environment, recorder)
    topic = add_topic(stack, environment, options, keys.operations)
    letters = add_dead_letters(Construct(stack, "AlertLetters"), f"{environment.project}-alerts", keys.operations)
    add_alerts(stack, environment, topic.topic_arn, letters)
    alarms = Alarms(stack, environment, topic.topic_arn)
    for function in (starter, publisher, recorder):
        alarms.of_function(function)
    alarms.of_letters("alerts", letters)
    alarms.of_ends()
    alarms.of_refusals()
    if options.is_scheduled(environment):
        alarms.of_nights()
    add_budget(stack, environment, options, topic.topic_arn)


def _stack(app: Any, environment: Environment, name: str) -> Any:
    stack = cdk.Stack(
        app,
        name,
        stack_name=name,
        env=cdk.Environment(account=environment.account, region=environment.region),
        # Nothing has to be uploaded, so the account needs no bootstrap stack.
        synthesizer=cdk.LegacyStackSynthesizer(),
        termination_protection=environment.name == "prod",
    )
    cdk.Tags.of(stack).add("project", environment.project)
    cdk.Tags.of(stack).add("environment", environment.name)
    return stack
