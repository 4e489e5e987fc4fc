"""The pipeline in its stack: the compiled definition, with the stack's own references where only it knows names."""

import functools
import json
import re
from dataclasses import replace
from typing import Any

from aws_cdk import Fn
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra.options import Images
from infra.template.keys import kept
from infra.template.network import Network
from infra.template.statements import after_grant
from pipelines.definition.compiler import compile_pipeline
from pipelines.definition.settings import Settings
from pipelines.environment import Environment

# Stand in the compiled text for what CloudFormation fills in; of the shape that the SDK wants them to have.
_SUBNETS = ("subnet-tilegate-placeholder-0", "subnet-tilegate-placeholder-1")
_GROUP = "sg-tilegate-placeholder"
_KEY = "arn:aws:kms:us-east-1:000000000000:key/tilegate-placeholder"
_PARALLEL_STEPS = 4


def placeholder_settings(environment: Environment, images: Images, **chosen: Any) -> Settings:
    """Return the pipeline's settings, with what was chosen, and placeholders for subnets, security group and key."""
    return replace(
        environment.settings(),
        data_image=images.data,
        model_image=images.model,
        subnets=_SUBNETS,
        security_groups=(_GROUP,),
        kms_key_arn=_KEY,
        **chosen,
    )


@functools.cache
def compile_minified(settings: Settings) -> str:
    """Return the definition as it is deployed: the same document, without white space."""
    return json.dumps(json.loads(compile_pipeline(settings)), separators=(",", ":"), sort_keys=True)


def add_pipeline(
    stack: Any, environment: Environment, definition: str, *, network: Network, key_arn: str, role: Any
) -> None:
    """Add the pipeline and the group that its versions are registered in; `definition` has placeholders."""
    scope = Construct(stack, "Training")
    known = {**dict(zip(_SUBNETS, network.subnets, strict=True)), _GROUP: network.security_group, _KEY: key_arn}
    pieces = re.split("(" + "|".join(map(re.escape, known)) + ")", definition)
    pipeline = sagemaker.CfnPipeline(
        scope,
        "Pipeline",
        pipeline_name=environment.pipeline,
        pipeline_description="Trains a screenshot classifier, and lets it pass only if its error rate is proven",
        pipeline_definition={"PipelineDefinitionBody": Fn.join("", [known.get(piece, piece) for piece in pieces])},
        role_arn=role.role_arn,
        parallelism_configuration={"MaxParallelExecutionSteps": _PARALLEL_STEPS},
    )
    group = sagemaker.CfnModelPackageGroup(
        scope,
        "Versions",
        model_package_group_name=environment.model_package_group,
        model_package_group_description="TFLite bundles of the screenshot classifier",
    )
    group.apply_removal_policy(kept(environment))
    pipeline.add_resource_dependency(group)
    after_grant(pipeline, role)
